"""One call of `generate`, read and checked: what it asks for, and what cannot be guarded.

Whatever would make the guard's promises untrue raises here, before anything is generated.
"""

import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import GenerationConfig, GenerationMixin
from transformers.generation import stopping_criteria
from transformers.generation.stopping_criteria import (
    MaxLengthCriteria,
    MaxTimeCriteria,
    StopStringCriteria,
)

_SIGNATURE = inspect.signature(vars(GenerationMixin)["generate"])

_MODES = {
    "contrastive_search": "contrastive search (penalty_alpha)",
    "assisted_generation": "assisted generation (assistant_model, prompt_lookup_num_tokens, ...)",
    "dola_generation": "DoLa (dola_layers)",
    "beam_search": "beam search (num_beams > 1)",
    "beam_sample": "beam sampling (num_beams > 1)",
    "constrained_beam_search": "constrained beam search (constraints, force_words_ids)",
    "group_beam_search": "group beam search (num_beam_groups)",
}
_REASONS = {
    "custom_generate": "it replaces the loop that the guard watches",
    "synced_gpus": "an intervention makes one process generate longer than the others",
    "inputs_embeds": "a rollback needs the prompt's token ids: pass input_ids",
    "negative_prompt_ids": "the unconditional branch is not rolled back",
    "negative_prompt_attention_mask": "the unconditional branch is not rolled back",
    "guidance_scale": "the unconditional branch is not rolled back",
    "output_attentions": "attentions of rolled-back tokens cannot be told from kept ones",
    "output_hidden_states": "hidden states of rolled-back tokens cannot be told from kept ones",
    "token_healing": "it rewrites the prompt",
    "forced_eos_token_id": "after a rollback it would be forced at another length",
    "exponential_decay_length_penalty": "after a rollback it would start at another length",
}
_CARRIED = ("input_ids", "attention_mask", "token_type_ids", "past_key_values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a call asks for. Tensors have one row for each sequence that will be returned."""

    arguments: dict[str, Any]
    """All arguments by name, as they were given, without those that the guard handles itself."""

    config: GenerationConfig
    """Those arguments, the model's own settings and the library's defaults in one."""

    model_kwargs: dict[str, Any]
    """Arguments for the model's forward pass that are no tensors."""

    input_ids: torch.Tensor
    """Shape [rows, length], padded."""

    attention_mask: torch.Tensor
    """Shape [rows, length]."""

    has_token_types: bool
    """Whether the tokenizer gave token types, which the model then wants for new tokens too."""

    cache: Any | None
    """The caller's own cache, which has to hold the kept tokens in the end."""

    max_new_tokens: int
    """A row's budget of kept tokens, sampled and injected."""

    min_new_tokens: int
    """Kept tokens before which no end token is sampled."""

    eos_ids: frozenset[int]
    """Tokens that end a row; empty where none does."""

    pad_id: int
    """What finished rows are filled up with."""

    passed: tuple[Any, ...]
    """Criteria of transformers' own types among the caller's: `generate` has them replace its."""

    watched: tuple[Any, ...]
    """Criteria that run inside `generate` and are asked once more by the guard, which has to know
    which row ended."""

    custom: tuple[Any, ...]
    """The caller's criteria, asked by the guard only."""

    streamer: Any | None
    """The caller's, fed with what is released."""

    started: float = field(default_factory=time.monotonic)
    """On the monotonic clock, seconds: what `max_time` counts from."""

    @property
    def num_rows(self) -> int:
        """Sequences that will be returned."""
        return self.input_ids.shape[0]

    @property
    def prompt_length(self) -> int:
        """With padding."""
        return self.input_ids.shape[1]

    @property
    def pads_finished_rows(self) -> bool:
        """Whether `generate` pads rows that have ended; without an end token it samples on."""
        return bool(self.eos_ids) or any(hasattr(each, "eos_token_id") for each in self.custom)

    def prompt_ids(self, row: int) -> tuple[int, ...]:
        """One row's prompt without padding."""
        return tuple(self.input_ids[row][self.attention_mask[row].bool()].tolist())


def read_request(
    model: Any, tokenizer: Any, positional: Sequence[Any], named: dict[str, Any]
) -> Request:
    """Reads the arguments of a call of `generate`. Raises ValueError for what cannot be guarded."""
    arguments = _by_name(model, positional, named)
    streamer = arguments.pop("streamer", None)
    criteria = arguments.pop("stopping_criteria", None) or ()
    generation = {
        name: value
        for name, value in arguments.items()
        if name not in _SIGNATURE.parameters and name not in ("tokenizer", "trust_remote_code")
    }
    config, model_kwargs = model._prepare_generation_config(
        arguments.get("generation_config"), **generation
    )
    _check(config, model_kwargs, arguments)
    if config.stop_strings is not None:
        arguments.setdefault("tokenizer", tokenizer)
    eos_ids = _eos_ids(config)
    pad_id = config.pad_token_id if config.pad_token_id is not None else min(eos_ids, default=0)
    if isinstance(config.eos_token_id, (list, tuple)) and config.pad_token_id is None:
        pad_id = config.eos_token_id[0]
    input_ids = _input_ids(arguments, model_kwargs)
    mask = _attention_mask(input_ids, model_kwargs.get("attention_mask"), config)
    max_new = _max_new_tokens(model, config, arguments, input_ids.shape[1])
    min_new = config.min_new_tokens
    if min_new is None:
        min_new = max(0, (config.min_length or 0) - input_ids.shape[1])
    num_each = config.num_return_sequences or 1
    passed = [each for each in criteria if _is_own(each)]
    watched = [
        each for each in passed if not isinstance(each, (MaxLengthCriteria, MaxTimeCriteria))
    ]
    if config.stop_strings is not None and not _has(passed, StopStringCriteria):
        watched.append(StopStringCriteria(arguments["tokenizer"], config.stop_strings))
    for each in passed:
        if isinstance(each, MaxLengthCriteria):
            max_new = each.max_length - input_ids.shape[1]
    return Request(
        arguments=arguments,
        config=config,
        model_kwargs={name: each for name, each in model_kwargs.items() if name not in _CARRIED},
        input_ids=input_ids.repeat_interleave(num_each, dim=0),
        attention_mask=mask.repeat_interleave(num_each, dim=0),
        has_token_types=model_kwargs.get("token_type_ids") is not None,
        cache=model_kwargs.get("past_key_values"),
        max_new_tokens=max_new,
        min_new_tokens=min_new,
        eos_ids=eos_ids,
        pad_id=pad_id,
        passed=tuple(passed),
        watched=tuple(watched),
        custom=tuple(each for each in criteria if not _is_own(each)),
        streamer=streamer,
    )


def _by_name(model: Any, positional: Sequence[Any], named: dict[str, Any]) -> dict[str, Any]:
    bound = _SIGNATURE.bind(model, *positional, **named)
    arguments = dict(bound.arguments)
    del arguments["self"]
    arguments.update(arguments.pop("kwargs", {}))
    return {name: value for name, value in arguments.items() if value is not None}


def _check(config: Any, model_kwargs: dict[str, Any], arguments: dict[str, Any]) -> None:
    mode = str(config.get_generation_mode(arguments.get("assistant_model")).value)
    if mode not in ("greedy_search", "sample"):
        raise ValueError(
            f"{_MODES.get(mode, mode)} cannot be guarded, since it keeps several drafts at once: "
            "use greedy search or sampling, or the unguarded `.model.generate`"
        )
    given = {**config.to_dict(), **model_kwargs, **arguments}
    for name, reason in _REASONS.items():
        value = given.get(name)
        if value is None or value is False or (name == "guidance_scale" and value == 1):
            continue
        raise ValueError(f"{name} cannot be used under the guard: {reason}")
    if config.cache_implementation == "paged":
        raise ValueError('cache_implementation="paged" cannot be guarded: use another cache')
    for name, value in model_kwargs.items():
        if isinstance(value, torch.Tensor) and name not in _CARRIED:
            raise ValueError(
                f"{name} cannot be carried over a rollback: the guard takes text prompts, "
                "as input_ids and attention_mask"
            )


def _input_ids(arguments: dict[str, Any], model_kwargs: dict[str, Any]) -> torch.Tensor:
    input_ids = arguments.get("inputs", model_kwargs.get("input_ids"))
    if input_ids is None or input_ids.numel() == 0:
        raise ValueError("the prompt is empty: pass input_ids")
    if input_ids.dim() != 2 or input_ids.is_floating_point():
        raise ValueError("input_ids must be whole numbers of shape [rows, length]")
    cache = model_kwargs.get("past_key_values")
    if cache is not None and (
        input_ids.shape[0] > 1 or arguments.get("num_return_sequences", 1) > 1
    ):
        raise ValueError("past_key_values can be guarded for a single row only: leave it out")
    return input_ids


def _attention_mask(
    input_ids: torch.Tensor, mask: torch.Tensor | None, config: Any
) -> torch.Tensor:
    """The given mask, or what `generate` takes in its place."""
    if mask is not None:
        if mask.shape != input_ids.shape:
            raise ValueError(
                f"attention_mask has shape {tuple(mask.shape)} and input_ids "
                f"{tuple(input_ids.shape)}: pass the whole prompt with every call"
            )
        return mask
    pad_id = config.pad_token_id
    if pad_id is not None and pad_id not in _eos_ids(config):
        return input_ids.ne(pad_id).long()
    return torch.ones_like(input_ids)


def _max_new_tokens(model: Any, config: Any, arguments: dict[str, Any], length: int) -> int:
    """As `generate` reckons: new tokens, else the whole length, else 20 new tokens."""
    if config.max_new_tokens is not None:
        return config.max_new_tokens
    own = arguments.get("generation_config")
    if (
        arguments.get("max_length") is None
        and (own is None or own.max_length is None)
        and model.generation_config.max_length is None
    ):
        positions = getattr(model.config, "max_position_embeddings", None)
        longest = config.max_length + length
        return (longest if positions is None else min(longest, positions)) - length
    return config.max_length - length


def _eos_ids(config: Any) -> frozenset[int]:
    ids = config.eos_token_id
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else [int(each) for each in ids])


def _is_own(criterion: Any) -> bool:
    """One of transformers' own: may replace a default, so it has to stay what it is."""
    return type(criterion).__module__ == stopping_criteria.__name__


def _has(criteria: Sequence[Any], kind: type) -> bool:
    return any(type(each) is kind for each in criteria)
