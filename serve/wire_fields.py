"""The fields of a request body, taken one by one; what nobody has taken is refused.

So a field that is misspelt, or that the engine behind does not know, is an error and never ignored.
Types are those of the openai package, ranges are checked here.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_type_hints

from openai.types.chat.completion_create_params import (
    CompletionCreateParamsBase as ChatParams,
)
from openai.types.completion_create_params import CompletionCreateParamsBase as CompletionParams
from pydantic import TypeAdapter, ValidationError

from .engine_options import NumberOption
from .wire_errors import ApiError, invalid

NEUTRAL: Mapping[str, Callable[[Any], bool]] = {
    "logprobs": lambda value: value is False,
    "top_logprobs": lambda value: value == 0,
    "response_format": lambda value: value == {"type": "text"},
    "modalities": lambda value: value == ["text"],
    "parallel_tool_calls": lambda value: value is True,
    "store": lambda value: value is False,
    "service_tier": lambda value: value in ("auto", "default"),
    "best_of": lambda value: value == 1,
    "suffix": lambda value: value == "",
    "presence_penalty": lambda value: value == 0,
    "frequency_penalty": lambda value: value == 0,
    "logit_bias": lambda value: value == {},
}
"""Fields that are refused unless they ask for what happens anyway."""

LABELS = ("user", "safety_identifier", "prompt_cache_key")
"""Fields that say who asks, and change nothing; `user` goes into the log, hashed."""


class Fields:
    """One body on its way to a request. `null` counts as absent, as it does at OpenAI."""

    def __init__(self, body: Mapping[str, Any], params: type) -> None:
        """`params` is the openai package's type of the body."""
        self._left = {name: value for name, value in body.items() if value is not None}
        self._params = params

    def take_unchecked(self, name: str) -> Any:
        """A field's value as it is, for those who check it themselves."""
        return self._left.pop(name, None)

    def take(self, name: str) -> Any:
        """A field's value, `None` if it is absent; raises `ApiError` if it has the wrong type."""
        if name not in self._left:
            return None
        value = self._left.pop(name)
        adapter = _adapters(self._params).get(name)
        if adapter is not None:
            check_type(name, value, adapter)
        return value

    def number(
        self, name: str, minimum: float, maximum: float, *, whole: bool = False
    ) -> float | None:
        """A number within a range."""
        value = self.take(name)
        if value is None:
            return None
        try:
            return NumberOption(minimum, maximum, whole).read(value)
        except ValueError as error:
            raise invalid(name, str(error)) from error

    def whole(self, name: str, minimum: int, maximum: int) -> int | None:
        """A whole number within a range."""
        value = self.number(name, minimum, maximum, whole=True)
        return None if value is None else int(value)

    def flag(self, name: str) -> bool:
        """A switch, off where it is absent."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise invalid(name, "give true or false")
        return bool(value)

    def finish(self) -> None:
        """Raises `ApiError` for the first field that nobody has taken."""
        for name, value in self._left.items():
            if name in LABELS or (name in NEUTRAL and NEUTRAL[name](value)):
                continue
            if name in _adapters(self._params):
                raise ApiError(
                    400,
                    f"{name}: this server or its engine cannot do that; leave the field out",
                    param=name,
                    code="unsupported_parameter",
                )
            raise ApiError(
                400, f"unknown field {name!r}: leave it out", param=name, code="unknown_parameter"
            )


def check_type(name: str, value: Any, adapter: TypeAdapter[Any]) -> None:
    """Raises `ApiError` naming the first place where `value` is not of the adapter's type."""
    try:
        _exhaust(adapter.validate_python(value, strict=True))
    except ValidationError as error:
        # In a union every member complains; the complaint that lies deepest is of the one meant.
        first = max(error.errors(include_url=False), key=lambda each: len(each["loc"]))
        where = name + "".join(_step(each) for each in first["loc"])
        raise invalid(where, _plain(first["msg"])) from None


def _step(part: int | str) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    plain = part.isidentifier() and not part[0].isupper() and part not in _TYPE_NAMES
    return f".{part}" if plain else ""


_TYPE_NAMES = {"str", "int", "float", "bool", "list", "dict", "generator", "none"}


def _plain(message: str) -> str:
    return message[:1].lower() + message[1:]


def _exhaust(value: Any) -> None:
    """The package's lazily checked lists are only checked when they are read."""
    if isinstance(value, (str, bytes, int, float, type(None))):
        return
    members = value.values() if isinstance(value, Mapping) else value
    for each in members:
        _exhaust(each)


@cache
def _adapters(params: type) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(params)
    stream: dict[str, Any] = {"stream": bool}
    return {name: TypeAdapter(hint) for name, hint in {**hints, **stream}.items()}


CHAT, COMPLETIONS = ChatParams, CompletionParams
