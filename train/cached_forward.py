"""A causal model over rows of different length, padded on the left, with a cache carried on.

Padding may stand anywhere in a row: places count only where the mask does.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache


def padded(
    rows: Sequence[Sequence[int]], device: Any, *, padding: int = 0
) -> tuple[Tensor, Tensor]:
    """Ids padded on the left, and their mask, both `[rows, width]`."""
    width = max(map(len, rows))
    ids = [[padding] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def positions(mask: Tensor) -> Tensor:
    """Each token's place in its row, `[rows, width]`."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def next_logits(
    model: Any, ids: Tensor, mask: Tensor, places: Tensor, cache: DynamicCache
) -> Tensor:
    """The logits of what follows each row's last id, `[rows, vocabulary]`.

    `ids` and `places` are those that the cache lacks; `mask` has all, the cache's first.
    """
    return model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=places,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
