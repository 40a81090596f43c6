"""`logprobs` and `top_logprobs`: what requests ask for, and how answers say it."""

from collections.abc import Sequence
from typing import Any

from .engine import Engine
from .logprob_tap import GivenLogprob
from .wire_errors import invalid
from .wire_fields import Fields

OPTION = "logprobs"
"""Engines that give log probabilities have an option of this name."""


def read_chat_logprobs(fields: Fields, engine: Engine) -> int | None:
    """How many of the likeliest tokens are wanted beside each; `None` without log probabilities.

    Where the engine has none the fields stay untaken, and are refused as any other.
    """
    if OPTION not in engine.options:
        return None
    wanted, num_top = fields.flag("logprobs"), fields.whole("top_logprobs", 0, 20)
    if num_top and not wanted:
        raise invalid("top_logprobs", "it belongs to logprobs: set that, too")
    return num_top or 0 if wanted else None


def read_completion_logprobs(fields: Fields, engine: Engine) -> int | None:
    """The same, of plain completions, where the number alone says it."""
    return fields.whole("logprobs", 0, 20) if OPTION in engine.options else None


def chat_logprobs(given: Sequence[GivenLogprob], num_top: int) -> dict[str, Any]:
    """As a choice of a chat has them: of the answer's tokens."""
    return {"content": [_entry(each, num_top) for each in given], "refusal": None}


def completion_logprobs(given: Sequence[GivenLogprob], num_top: int, start: int) -> dict[str, Any]:
    """As a choice of a completion has them; `start` characters of the prompt come before it."""
    return {
        "tokens": [each.value.token for each in given],
        "token_logprobs": [each.value.logprob for each in given],
        "top_logprobs": [dict(each.value.top[:num_top]) for each in given] if num_top else None,
        "text_offset": [start + each.offset for each in given],
    }


def _entry(given: GivenLogprob, num_top: int) -> dict[str, Any]:
    top = [_likely(*each) for each in given.value.top[:num_top]]
    return {**_likely(given.value.token, given.value.logprob), "top_logprobs": top}


def _likely(token: str, logprob: float) -> dict[str, Any]:
    # JSON has no infinity; this is the API's own word for "very unlikely".
    return {"token": token, "bytes": list(token.encode()), "logprob": max(logprob, -9999.0)}
