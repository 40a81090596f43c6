"""A cache of keys and values with room at its end, for generating in batches.

The library's own is copied whole for every token, which with many rows of a small model is most of
the work.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

ROOM = 64
"""Places added when there are none left."""


class RoomyLayer(DynamicLayer):
    """A layer that writes what is new into places that it has already.

    `keys` and `values` are views of these places, so a batch that is chosen from (which makes new
    tensors) or cropped goes on as ever. For inference only: places are written over.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._rooms: list[Tensor | None] = [None, None]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values, each `[rows, heads, places, size]`."""
        if not self.is_initialized or self.keys is None or self.values is None:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        self.keys = self._added(0, self.keys, key_states)
        self.values = self._added(1, self.values, value_states)
        return self.keys, self.values

    def _added(self, which: int, old: Tensor, new: Tensor) -> Tensor:
        length = old.shape[-2] if old.numel() else 0
        total = length + new.shape[-2]
        room = self._rooms[which]
        if room is None or old.data_ptr() != room.data_ptr() or room.shape[-2] < total:
            room = torch.empty(
                (*new.shape[:-2], total + ROOM, new.shape[-1]), dtype=new.dtype, device=new.device
            )
            if length:
                room[..., :length, :] = old
            self._rooms[which] = room
        room[..., length:total, :] = new
        return room[..., :total, :]


def roomy_cache(config: Any) -> DynamicCache:
    """An empty cache for a model of this configuration; layers of other kinds than full attention
    are the library's."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(each) is DynamicLayer else each for each in cache.layers]
    return cache
