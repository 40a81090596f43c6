"""The answer of one request, whole and in chunks: what both endpoints have in common."""

from collections.abc import Mapping
from typing import Any, Protocol

from ..guard import FinishReason, Trace
from .wire_deltas import Delta, Whole

_REASONS: Mapping[FinishReason, str] = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CONTENT_FILTER: "content_filter",
}


def finish_word(trace: Trace, *, has_calls: bool = False) -> str:
    """The API's `finish_reason`. A cancelled or failed generation has none: it is an error."""
    word = _REASONS[trace.finish_reason]
    return "tool_calls" if has_calls and word == "stop" else word


class Answer(Protocol):
    """Writes records of one endpoint; they are checked with the openai package's types."""

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Chunks that a choice begins with."""
        ...

    def chunk(self, index: int, delta: Delta) -> dict[str, Any]:
        """A chunk with what has been released."""
        ...

    def closing(self, index: int, trace: Trace, whole: Whole) -> dict[str, Any]:
        """The last chunk of a choice."""
        ...

    def usage(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        """The chunk with the token counts, after all choices."""
        ...

    def whole(self, choices: list[tuple[Trace, Whole]], usage: Mapping[str, Any]) -> dict[str, Any]:
        """The answer in one piece."""
        ...
