"""What chat and plain completions have in common: how to sample, when to stop, how to answer."""

import secrets
from dataclasses import dataclass
from typing import Any

from .engine import Engine
from .wire_errors import ApiError, invalid
from .wire_fields import Fields
from .wire_requested_guard import RequestedGuard

MAX_STOPS, MAX_STOP_CHARS = 16, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """The common fields of a request, checked."""

    model: str
    """The name that the request asked for, and that the answer carries."""

    n: int
    """Choices for each prompt."""

    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    max_tokens: int | None
    sampling: dict[str, Any]
    """For the backend, without length and seed."""

    seed: int
    """Drawn here if the request has none, so that every trace can be repeated."""

    guard: RequestedGuard | None
    user: str | None
    logprobs: int | None = None
    """Likeliest tokens to name beside each token's log probability; `None` gives neither."""

    def sampling_of(self, choice: int, max_new_tokens: int) -> dict[str, Any]:
        """Of one choice: each draws from a seed of its own, as vLLM's do."""
        own = {"seed": (self.seed + choice) % 2**63, "max_new_tokens": max_new_tokens}
        if self.logprobs is not None:
            own["logprobs"] = self.logprobs
        return {**self.sampling, **own}


def read_generation(fields: Fields, engine: Engine, *, max_choices: int) -> GenerationRequest:
    """Takes the common fields. Raises `ApiError` for what cannot be served."""
    model = fields.take("model")
    if model is None:
        raise ApiError(400, "model: name the model", param="model", code="missing_parameter")
    if model not in engine.model_names:
        served = ", ".join(engine.model_names)
        raise ApiError(
            404,
            f"there is no model {model!r} here: ask for {served}",
            param="model",
            code="model_not_found",
        )
    stream = fields.flag("stream")
    sampling: dict[str, Any] = {}
    for name, (minimum, maximum) in {"temperature": (0.0, 2.0), "top_p": (0.0, 1.0)}.items():
        value = fields.number(name, minimum, maximum)
        if value is not None:
            sampling[name] = value
    if sampling.get("top_p") == 0:
        raise invalid("top_p", "give a number above 0; temperature 0 takes the likeliest token")
    for name, option in engine.options.items():
        if name == "logprobs":  # its form differs between the endpoints
            continue
        value = fields.take_unchecked(name)
        if value is not None:
            try:
                sampling[name] = option.read(value)
            except ValueError as error:
                raise invalid(name, str(error)) from error
    if {"response_format", "structured_outputs"} <= sampling.keys():
        raise invalid("structured_outputs", "response_format says the same: give one of them")
    seed = fields.whole("seed", -(2**63), 2**63 - 1)
    guard, user = fields.take("rerail"), fields.take("user")
    return GenerationRequest(
        model=model,
        n=fields.whole("n", 1, max_choices) or 1,
        stop=_stops(fields.take("stop")),
        stream=stream,
        include_usage=_include_usage(fields.take("stream_options"), stream=stream),
        max_tokens=_max_tokens(fields),
        sampling=sampling,
        seed=secrets.randbits(48) if seed is None else seed % 2**63,
        guard=None if guard is None else RequestedGuard.read(guard),
        user=user,
    )


def _max_tokens(fields: Fields) -> int | None:
    given = {
        name: value
        for name in ("max_completion_tokens", "max_tokens")
        if (value := fields.whole(name, 1, 2**31 - 1)) is not None
    }
    if len(set(given.values())) > 1:
        raise invalid("max_tokens", "it differs from max_completion_tokens: give one of them")
    return next(iter(given.values()), None)


def _stops(value: Any) -> tuple[str, ...]:
    stops = (value,) if isinstance(value, str) else tuple(value or ())
    if len(stops) > MAX_STOPS:
        raise invalid("stop", f"give at most {MAX_STOPS} strings")
    if any(not stop or len(stop) > MAX_STOP_CHARS for stop in stops):
        raise invalid("stop", f"give strings of 1 to {MAX_STOP_CHARS} characters")
    return stops


def _include_usage(value: Any, *, stream: bool) -> bool:
    if value is None:
        return False
    if not stream:
        raise invalid("stream_options", "it belongs to streams: set stream, or leave it out")
    unknown = set(value) - {"include_usage", "include_obfuscation"}
    if unknown or value.get("include_obfuscation"):
        name = min(unknown, default="include_obfuscation")
        raise ApiError(
            400,
            f"stream_options.{name}: this server cannot do that; leave it out",
            param=f"stream_options.{name}",
            code="unsupported_parameter",
        )
    return bool(value.get("include_usage"))
