"""Rows of prompt files and hub data sets, and how one row becomes the fields of a prompt.

Public sets name the same things differently; `Columns` says which names count, and the first that
a row has is taken. What is missing or has the wrong shape is an error that names the line.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..guard.json_text import json_of
from .sandbox.kinds import Kind


class PromptFileError(ValueError):
    """A prompt source cannot be read; the message names it, the line and what to do."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Under which names a row holds what; the first that it has counts."""

    id: tuple[str, ...] = ("id", "prompt_id")
    messages: tuple[str, ...] = ("messages", "messages_json")
    """A list of messages, or the same as JSON text."""

    request: tuple[str, ...] = ("request", "prompt", "question")
    """One user turn; read where a row has no messages."""

    expected: tuple[str, ...] = ("expected", "answer")
    topic: tuple[str, ...] = ("topic", "category", "type")
    tools: tuple[str, ...] = ("tools", "tools_json")
    kind: tuple[str, ...] = ("kind",)
    harmful: tuple[str, ...] = ("harmful",)
    """True or false; read where a row has no kind."""


DEFAULT_COLUMNS = Columns()
"""The names under which columns are looked for when none are given."""

Row = tuple[str, int, dict[str, Any]]
"""Where it stands (for messages), its number from 1, and its fields."""

_ROLES = ("system", "user", "assistant", "tool")
_TRUTHS = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "unsafe", "harmful"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "safe", "benign"), False),
}
_FINAL = "####"
"""Before the final answer, in sets that give the solution too (GSM8K)."""


def file_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL, CSV or parquet file; blank lines are left out.

    Raises `PromptFileError` naming the line, or for a file of another ending.
    """
    if path.suffix == ".csv":
        yield from _csv_rows(path)
    elif path.suffix == ".parquet":
        yield from _parquet_rows(path)
    elif path.suffix == ".jsonl":
        yield from _jsonl_rows(path)
    else:
        raise PromptFileError(f"{path}: prompts come as .jsonl, .csv or .parquet")


def hub_rows(name: str, config: str | None, split: str | None) -> Iterator[Row]:
    """The rows of a hub data set (needs `datasets`, the extra train).

    Raises ImportError without that package, and `PromptFileError` for a set that cannot be had or
    has several splits of which none is named.
    """
    try:
        from datasets import DatasetDict, load_dataset
    except ImportError as error:
        raise ImportError('hub data sets need datasets: pip install "rerail[train]"') from error
    try:
        found = load_dataset(name, config, split=split)
    except Exception as error:  # the library raises its own kinds and those of three others
        raise PromptFileError(_hub_failure(name, error)) from error
    if isinstance(found, DatasetDict):
        if len(found) != 1:
            names = ", ".join(map(str, found))
            raise PromptFileError(f"{name} has the splits {names}: name one, {name}:SPLIT")
        found = next(iter(found.values()))
    for number, row in enumerate(found, 1):
        yield f"{name} row {number}", number, dict(row)


def _hub_failure(name: str, error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    advice = (
        "download it where there is a network and give the file (.jsonl, .csv, .parquet) instead"
    )
    if "gated" in text.lower() or "401" in text or "403" in text:
        return (
            f"the data set {name} is gated: accept its terms on the hub and log in with "
            "`hf auth login`, or give a local file of it"
        )
    if any(word in text for word in ("Offline", "Connection", "Max retries", "resolve")):
        return f"the data set {name} cannot be had offline: {advice}"
    return f"the data set {name} cannot be loaded ({text.splitlines()[0][:200]}): {advice}"


def record_of(
    row: Mapping[str, Any], where: str, default_id: str, kind: Kind | None, columns: Columns
) -> dict[str, Any]:
    """The fields of a prompt from one row. Raises `PromptFileError` beginning with `where`."""
    found_kind = _kind(row, where, kind, columns)
    expected = _first(row, columns.expected)
    if found_kind is Kind.TASK and expected is None:
        raise PromptFileError(f"{where}: a task needs the answer expected ({columns.expected[0]})")
    if found_kind is Kind.HARMLESS and expected is not None and not row.get(columns.kind[0]):
        found_kind = Kind.TASK
    identity = _first(row, columns.id)
    return {
        "id": default_id if identity is None else str(identity),
        "messages": _messages(row, where, columns),
        "kind": found_kind,
        "topic": _text(_first(row, columns.topic)),
        "expected": _final(str(expected)) if found_kind is Kind.TASK else None,
        "tools": tuple(_list(_first(row, columns.tools) or [], where, "tools")),
    }


def _kind(row: Mapping[str, Any], where: str, kind: Kind | None, columns: Columns) -> Kind:
    said = _first(row, columns.kind)
    if said is not None:
        try:
            return Kind(str(said))
        except ValueError:
            kinds = ", ".join(Kind)
            raise PromptFileError(f"{where}: kind {said!r} is unknown; use {kinds}") from None
    harmful = _first(row, columns.harmful)
    if harmful is not None:
        truth = _TRUTHS.get(str(harmful).lower())
        if truth is None:
            raise PromptFileError(f"{where}: harmful is {harmful!r}; use true or false")
        if truth:
            return Kind.HARMFUL
        return Kind.HARMLESS if kind in (None, Kind.HARMFUL) else kind
    if kind is None:
        raise PromptFileError(
            f"{where}: neither `kind` nor `harmful` says what the prompt is; add one of them"
        )
    return kind


def _messages(row: Mapping[str, Any], where: str, columns: Columns) -> tuple[dict[str, str], ...]:
    given = _first(row, columns.messages)
    if given is None:
        request = _first(row, columns.request)
        if isinstance(request, list) and len(request) == 1:
            request = request[0]
        if not isinstance(request, str) or not request.strip():
            names = ", ".join((*columns.messages[:1], *columns.request))
            raise PromptFileError(f"{where}: no text under any of {names}")
        return ({"role": "user", "content": request},)
    messages = tuple(dict(each) for each in _list(given, where, "messages"))
    for message in messages:
        if message.get("role") not in _ROLES or not isinstance(message.get("content"), str):
            raise PromptFileError(
                f"{where}: a message needs a role ({', '.join(_ROLES)}) and a content of text"
            )
    if not messages or messages[-1]["role"] not in ("user", "tool"):
        raise PromptFileError(f"{where}: the last message must be the user's or a tool's")
    return messages


def _list(given: Any, where: str, name: str) -> list[dict[str, Any]]:
    if isinstance(given, str):
        try:
            given = json_of(given or "[]")
        except ValueError as error:
            raise PromptFileError(f"{where}: {name} is no JSON ({error})") from error
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        raise PromptFileError(f"{where}: {name} is no list of objects")
    return given


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The value under the first name that has one; an empty CSV cell has none."""
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _final(expected: str) -> str:
    return expected.rpartition(_FINAL)[2].strip()


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path} line {number}"
            try:
                row = json_of(line)
            except ValueError as error:
                raise PromptFileError(
                    f"{where}: not JSON ({error}); correct or remove it"
                ) from error
            if not isinstance(row, dict):
                raise PromptFileError(f"{where}: no JSON object")
            yield where, number, row


def _csv_rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for row in reader:
                number = reader.line_num
                where = f"{path} line {number}"
                if None in row or None in row.values():
                    raise PromptFileError(f"{where}: not as many cells as the header has")
                yield where, number, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise PromptFileError(f"{path} is no readable CSV: {error}") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise ImportError('parquet needs pyarrow: pip install "rerail[train]"') from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except ArrowInvalid as error:
        raise PromptFileError(f"{path} is no parquet file: {error}") from error
    for number, row in enumerate(rows, 1):
        yield f"{path} row {number}", number, row
