"""The cache with room: what a model reads from it is what it reads from the library's."""

import torch
from transformers.cache_utils import DynamicCache

from rerail.guard.backend_transformers_loading import load
from rerail.train.roomy_cache import ROOM, RoomyLayer, roomy_cache
from rerail.train.sandbox.shipped import model_folder


def states(seed: int, rows: int, places: int) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    keys, values = (torch.randn(rows, 2, places, 4, generator=drawn) for _ in range(2))
    return keys, values


def test_it_holds_what_the_librarys_holds_whatever_is_done_to_it() -> None:
    model, _ = load(model_folder())
    ours, theirs = roomy_cache(model.config), DynamicCache(config=model.config)
    assert all(type(layer) is RoomyLayer for layer in ours.layers)
    rows = 5
    for number, places in enumerate([7, 1, 1, ROOM, 1, 3, 1, 2 * ROOM, 1]):
        for layer in range(len(ours.layers)):
            new = states(100 * number + layer, rows, places)
            got, wanted = ours.update(*new, layer), theirs.update(*new, layer)
            assert torch.equal(got[0], wanted[0])
            assert torch.equal(got[1], wanted[1])
        if number == 2:
            kept = torch.tensor([0, 2, 4])
            ours.batch_select_indices(kept)
            theirs.batch_select_indices(kept)
            rows = 3
        if number == 5:
            ours.crop(-2)
            theirs.crop(-2)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_a_token_is_written_where_there_is_room() -> None:
    layer = RoomyLayer()
    first, _ = layer.update(*states(0, 2, 5))
    second, _ = layer.update(*states(1, 2, 1))
    assert second.data_ptr() == first.data_ptr()
