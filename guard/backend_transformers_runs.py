"""What `generate` is called with: the first run as the caller asked, later ones on kept tokens.

A single row goes on with its cache, cropped to what was kept. A cache that cannot be cropped
(sliding windows that have slid, linear attention, state spaces, static) is not used again: the
prefix is read anew. Rows that are resumed together are padded on the left, without a cache.
"""

import copy
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from .backend_transformers_request import Request
from .backend_transformers_rows import Row


def first_arguments(request: Request) -> dict[str, Any]:
    """The caller's own arguments; only the result has to be the full record."""
    arguments = dict(request.arguments)
    if "generation_config" in arguments:
        config = copy.deepcopy(arguments["generation_config"])
        config.return_dict_in_generate = True
        arguments["generation_config"] = config
    else:
        arguments["return_dict_in_generate"] = True
    return arguments


def resumed_arguments(
    model: Any, request: Request, rows: Sequence[Row], cache: Any
) -> dict[str, Any]:
    """Arguments that continue the contexts of `rows`, whose last intervention has been put in.

    `cache` is what the last run left, if there was one row in it.
    """
    contexts = [row.session.context_ids for row in rows]
    longest = max(map(len, contexts))
    device = request.input_ids.device
    input_ids = torch.tensor(
        [[request.pad_id] * (longest - len(ids)) + list(ids) for ids in contexts], device=device
    )
    lengths = torch.tensor([len(ids) for ids in contexts], device=device)
    mask = (torch.arange(longest, device=device) >= (longest - lengths)[:, None]).long()
    room = [request.max_new_tokens - row.session.num_tokens for row in rows]
    arguments: dict[str, Any] = {
        name: request.arguments[name]
        for name in ("tokenizer", "trust_remote_code")
        if name in request.arguments
    }
    arguments |= request.model_kwargs
    arguments |= {
        "input_ids": input_ids,
        "attention_mask": mask,
        "generation_config": _resumed_config(model, request, longest, max(room)),
        "logits_processor": _processors(request, rows),
    }
    if request.has_token_types:
        arguments["token_type_ids"] = torch.zeros_like(input_ids)
    if "prefix_allowed_tokens_fn" in request.arguments:
        arguments["prefix_allowed_tokens_fn"] = _by_original_row(
            request.arguments["prefix_allowed_tokens_fn"], [row.index for row in rows]
        )
    if len(rows) == 1:
        kept = min(request.prompt_length + rows[0].kept, longest - 1)
        whole = bool(request.attention_mask[rows[0].index].all())
        if whole and request.config.prefill_chunk_size is None and crop(cache, kept):
            arguments["past_key_values"] = cache
        elif request.cache is not None:
            request.cache.reset()
            arguments["past_key_values"] = request.cache
    return arguments


def crop(cache: Any, length: int) -> bool:
    """Cuts the cache of a single row down to `length` tokens, if that can be done exactly."""
    if type(cache) is not DynamicCache or getattr(cache, "offloading", False):
        return False
    for layer in cache.layers:
        if type(layer) is DynamicSlidingWindowLayer:
            if layer.get_seq_length() >= layer.sliding_window:
                return False
        elif type(layer) is not DynamicLayer:
            return False
    too_many = cache.get_seq_length() - length
    if too_many > 0:
        cache.crop(-too_many)
    return True


@contextmanager
def seeded(device: torch.device, seed: int) -> Generator[None]:
    """Draws from generators of this seed inside, and leaves the global ones as they were."""
    kind = "cuda" if device.type == "cpu" else device.type
    devices = list(range(torch.cuda.device_count())) if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices, device_type=kind):
        torch.manual_seed(seed)
        yield


def _resumed_config(model: Any, request: Request, length: int, room: int) -> Any:
    config = copy.deepcopy(request.config)
    config.return_dict_in_generate = True
    config.num_return_sequences = 1
    # `generate` fills in what is None from the model's settings.
    if model.generation_config.max_new_tokens is None:
        config.max_new_tokens, config.max_length = None, length + room
    else:
        config.max_new_tokens, config.max_length = room, None
    config.min_new_tokens = None if config.min_new_tokens is None else 0
    config.min_length = 0
    config.begin_suppress_tokens = None if config.begin_suppress_tokens is None else []
    if config.max_time is not None:
        config.max_time = max(0.0, config.max_time - (time.monotonic() - request.started))
    return config


def _processors(request: Request, rows: Sequence[Row]) -> LogitsProcessorList:
    processors = LogitsProcessorList(request.arguments.get("logits_processor") or ())
    missing = [request.min_new_tokens - row.session.num_tokens for row in rows]
    if request.eos_ids and max(missing) > 0:
        processors.append(_MinimumNewTokens(missing, sorted(request.eos_ids)))
    return processors


class _MinimumNewTokens(LogitsProcessor):
    """`min_new_tokens` for rows that have different numbers of tokens already."""

    def __init__(self, missing: Sequence[int], eos_ids: Sequence[int]) -> None:
        self._missing = torch.tensor(missing)
        self._eos_ids = list(eos_ids)
        self._start: int | None = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Takes ids [rows, length] and scores [rows, vocabulary]; bars the end tokens."""
        if self._start is None:
            self._start = input_ids.shape[1]
        early = (self._missing > input_ids.shape[1] - self._start).to(scores.device)
        if not early.any():
            return scores
        scores = scores.clone()
        for eos_id in self._eos_ids:
            scores[:, eos_id] = scores[:, eos_id].masked_fill(early, -torch.inf)
        return scores


def _by_original_row(
    allowed: Callable[[int, Any], list[int]], indices: Sequence[int]
) -> Callable[[int, Any], list[int]]:
    return lambda row, ids: allowed(indices[row], ids)
