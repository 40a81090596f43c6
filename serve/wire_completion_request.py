"""`POST /v1/completions`: the body, checked. The prompt is the caller's, control tokens and all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from .engine import Engine
from .wire_errors import invalid
from .wire_fields import COMPLETIONS, Fields, check_type
from .wire_generation import GenerationRequest, read_generation
from .wire_logprobs import read_completion_logprobs

# The package's own type is a union of lazily checked lists, of which pydantic takes the first.
_PROMPTS: TypeAdapter[Any] = TypeAdapter(list[str] | list[int] | list[list[int]])


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """The body, checked."""

    prompts: tuple[str | Sequence[int], ...]
    """Texts or token ids; each gives `n` choices."""

    echo: bool
    generation: GenerationRequest


def read_completion(
    body: Mapping[str, Any], engine: Engine, *, max_choices: int
) -> CompletionRequest:
    """Raises `ApiError` naming the field that cannot be served."""
    fields = Fields(body, COMPLETIONS)
    generation = replace(
        read_generation(fields, engine, max_choices=max_choices),
        logprobs=read_completion_logprobs(fields, engine),
    )
    prompts = _prompts(fields.take_unchecked("prompt"))
    if len(prompts) * generation.n > max_choices:
        raise invalid("prompt", f"prompts times n may be {max_choices} at most")
    echo = fields.flag("echo")
    fields.finish()
    return CompletionRequest(prompts=prompts, echo=echo, generation=generation)


def _prompts(value: Any) -> tuple[str | Sequence[int], ...]:
    if isinstance(value, str):
        return (value,)
    if value:
        check_type("prompt", value, _PROMPTS)
    else:
        raise invalid("prompt", "give a text, token ids, or a list of them")
    if isinstance(value[0], int):
        return (tuple(value),)
    if any(not each for each in value):
        raise invalid("prompt", "an empty prompt cannot be completed")
    return tuple(each if isinstance(each, str) else tuple(each) for each in value)
