"""Recorded chains of thought, as files of labelled or unlabelled traces hold them: one a line.

Of a line only `id`, `request` (or `messages`), `think` and `steps` are read, so files without
labels or answers do as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..guard import Message
from ..guard.json_text import json_of


@dataclass(frozen=True, slots=True)
class RecordedTrace:
    """One line."""

    id: str
    messages: tuple[Message, ...]
    """The conversation; where the line has none, `request` as one user turn."""

    think: str
    """The chain of thought, without tags."""

    steps: tuple[tuple[int, int], ...]
    """Character spans `[start, end)` of its sentences, in order."""


def read_recorded(path: Path) -> Iterator[RecordedTrace]:
    """The traces of a file, one at a time; empty lines are skipped.

    Raises `ValueError` naming the line that is broken, `OSError` if the file cannot be read.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json_of(line)
            except ValueError as error:
                reason = " ".join(str(error).split())
                raise ValueError(f"{path} line {number} is no JSON ({reason})") from error
            try:
                yield _trace(row)
            except ValueError as error:
                raise ValueError(f"{path} line {number}: {error}") from error


def _trace(row: Any) -> RecordedTrace:
    if not isinstance(row, dict):
        raise ValueError("a trace is an object with id, request, think and steps")
    for name in ("id", "think", "steps"):
        if name not in row:
            raise ValueError(f"field {name!r} is missing")
    think = row["think"]
    if not isinstance(think, str):
        raise ValueError("field 'think' is no text")
    return RecordedTrace(str(row["id"]), _messages(row), think, _spans(row["steps"], len(think)))


def _messages(row: dict[str, Any]) -> tuple[Message, ...]:
    messages = row.get("messages")
    if messages is not None:
        if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
            raise ValueError("field 'messages' is no list of turns")
        return tuple(messages)
    request = row.get("request")
    if not isinstance(request, str):
        raise ValueError("field 'request' is missing or no text")
    return ({"role": "user", "content": request},)


def _spans(steps: Any, length: int) -> tuple[tuple[int, int], ...]:
    if not isinstance(steps, list):
        raise ValueError("field 'steps' is no list of spans")
    spans: list[tuple[int, int]] = []
    last = 0
    for index, span in enumerate(steps):
        numbers = isinstance(span, list) and len(span) == 2 and all(type(n) is int for n in span)
        if not numbers:
            raise ValueError(f"step {index} is no span [start, end)")
        start, end = span
        if not last <= start <= end <= length:
            raise ValueError(
                f"step {index}, [{start}, {end}), is out of order or beyond the text's {length} "
                "characters"
            )
        spans.append((start, end))
        last = end
    return tuple(spans)
