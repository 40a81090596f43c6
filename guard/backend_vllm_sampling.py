"""Sampling settings on their way to vLLM: checked by name, and carried over an intervention.

vLLM knows no rollback: after an intervention a new request goes on from the kept tokens. What
counts from the start of the generation (lengths) is what is left of it there; presence and
frequency penalties, which vLLM takes over sampled tokens only, count anew. A seeded generation goes
on with a seed made from its own and from where it goes on: with the same one, the first draws after
the trigger would be those at the beginning again.
"""

# pyright: reportMissingImports=false

import hashlib
from collections.abc import Mapping
from typing import Any

from vllm import SamplingParams
from vllm.exceptions import VLLMClientError
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from .answer_form import json_form

_PASSED = frozenset(
    {
        "allowed_token_ids",
        "bad_words",
        "extra_args",
        "frequency_penalty",
        "ignore_eos",
        "logit_bias",
        "min_p",
        "presence_penalty",
        "repetition_penalty",
        "stop_token_ids",
        "temperature",
        "thinking_token_budget",
        "top_k",
        "top_p",
    }
)
"""What vLLM gets as it is."""

SAMPLING = _PASSED | {
    "logprobs",
    "lora",
    "lora_request",
    "max_new_tokens",
    "min_tokens",
    "response_format",
    "seed",
    "stop",
    "structured_outputs",
}
"""What `sampling` may hold, with vLLM's names; `max_tokens` is `max_new_tokens` as in all backends.
`stop` ends a generation wherever it appears, as in vLLM; the text that completes it stays. With
`logprobs` tokens carry their log probability and so many of the likeliest (0: only their own).
`lora` names an adapter of the backend's. `structured_outputs` is a mapping with vLLM's names
(`json`, `regex`, `choice`, `grammar`, ...), and `response_format` OpenAI's word for the same (see
answer_form.py for what it means to the guard)."""

_WHY_NOT = {
    "best_of": "the guard reads every generation: ask for each of them",
    "max_tokens": "the name here is max_new_tokens",
    "n": "every generation is a stream of its own: ask for each of them",
    "prompt_logprobs": "the guard's tokens carry none",
}


def _check_names(sampling: Mapping[str, Any]) -> None:
    unknown = sorted(set(sampling) - SAMPLING)
    if not unknown:
        return
    name = unknown[0]
    if name in _WHY_NOT:
        raise ValueError(f"{name} cannot be used with the guard: {_WHY_NOT[name]}")
    raise ValueError(f"unknown sampling setting {name!r}: use {', '.join(sorted(SAMPLING))}")


def sampling_params(
    sampling: Mapping[str, Any], defaults: Mapping[str, Any], *, num_kept: int, left: int
) -> SamplingParams:
    """`sampling` over `defaults` (the model's own), for a run that goes on after `num_kept` tokens
    and may sample `left` more. Raises ValueError for a setting that this backend does not know or
    cannot keep, and for values that vLLM does not take."""
    _check_names(sampling)
    given = {name: value for name, value in sampling.items() if value is not None}
    options = {name: value for name, value in defaults.items() if name in _PASSED}
    options |= {name: given[name] for name in _PASSED & given.keys()}
    if "logit_bias" in options:  # its keys are texts where it comes out of JSON
        options["logit_bias"] = {int(each): add for each, add in options["logit_bias"].items()}
    if options.get("top_k") == -1:
        options["top_k"] = 0
    if options.get("temperature") == 0:  # vLLM allows for no other filter then
        options = {name: options[name] for name in options.keys() - {"top_p", "top_k", "min_p"}}
    if given.get("max_new_tokens", 1) < 1:
        raise ValueError(f"max_new_tokens is {given['max_new_tokens']}: give at least 1")
    stop = given.get("stop")
    try:
        return SamplingParams(
            **options,
            stop=[stop] if isinstance(stop, str) else list(stop or ()),
            seed=_seed(given.get("seed"), num_kept),
            max_tokens=left,
            logprobs=given.get("logprobs"),
            structured_outputs=_form(given),
            min_tokens=min(left, max(0, given.get("min_tokens", 0) - num_kept)),
            detokenize=bool(stop),  # text is made here, from the ids
            output_kind=RequestOutputKind.DELTA,
        )
    except (TypeError, VLLMClientError) as error:
        raise ValueError(f"vLLM does not take these sampling settings: {error}") from error


def _form(given: Mapping[str, Any]) -> StructuredOutputsParams | None:
    form = given.get("structured_outputs")
    if "response_format" in given:
        if form is not None:
            raise ValueError("response_format and structured_outputs say the same: give one")
        form = json_form(given["response_format"])
    return None if form is None else StructuredOutputsParams(**form)


def _seed(seed: int | None, num_kept: int) -> int | None:
    """The stream's own at its start, so that a silent guard changes nothing."""
    if seed is None or num_kept == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}:{num_kept}".encode()).digest()[:6], "big")
