"""Preference pairs as files: TRL's `prompt`, `chosen`, `rejected`, and exact token ids.

The conversation travels as JSON text in `messages_json`: a list in a column named `messages` makes
TRL 1.16 take the whole data set for a conversational one, and lists of turns of different shapes
have no common type in parquet.
"""

import json
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from .json_text import json_of
from .pairs import Pair

PairFormat = Literal["jsonl", "parquet"]
"""JSON Lines, or Parquet (extra `train`)."""

_ROWS_AT_ONCE = 256
_TEXTS = ("prompt", "chosen", "rejected")
_LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}
"""Line ends to `str.splitlines`, none to JSON: written as escapes, one line stays one line."""

_IDS = ("prompt_input_ids", "chosen_input_ids", "rejected_input_ids")


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    path: Path
    """The file."""

    pairs: int
    """How many it holds."""

    incomplete: int
    """Pairs whose rejected side ends where the guard cut it off. TRL would append an end-of-text
    token there: `rerail pairs complete` generates the rest."""

    without_ids: int
    """Pairs from a backend that gave text only."""


def export_pairs(pairs: Iterable[Pair], path: Path, file_format: PairFormat = "jsonl") -> Exported:
    """Writes all pairs as they come, under a name of its own until the last one is on disk.

    Raises `ValueError` for an unknown format, `ImportError` where pyarrow is missing (parquet), and
    `OSError` if the file cannot be written; then a file that was there before is untouched.
    """
    if file_format not in ("jsonl", "parquet"):
        raise ValueError(f"format {file_format!r} is unknown: use jsonl or parquet")
    counts = {"pairs": 0, "incomplete": 0, "without_ids": 0}

    def counted() -> Iterator[dict[str, Any]]:
        for pair in pairs:
            counts["pairs"] += 1
            counts["incomplete"] += not pair.complete
            counts["without_ids"] += not pair.rejected_ids
            yield pair_record(pair)

    with _replacing(path) as file:
        (_write_parquet if file_format == "parquet" else _write_jsonl)(counted(), file)
    return Exported(path, **counts)


def pair_record(pair: Pair) -> dict[str, Any]:
    """A pair as one line of JSONL, or one row of parquet."""
    return {
        "prompt": pair.prompt,
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "prompt_input_ids": list(pair.prompt_ids),
        "chosen_input_ids": list(pair.chosen_ids),
        "rejected_input_ids": list(pair.rejected_ids),
        "messages_json": json.dumps(pair.messages, default=dict),
        "id": pair.id,
        "trace_id": pair.trace_id,
        "ordinal": pair.ordinal,
        "model": pair.model,
        "trigger_id": pair.trigger_id,
        "probability": None if pair.probability is None else float(pair.probability),
        "complete": pair.complete,
        "topic": pair.topic,
    }


def read_pairs(path: Path) -> Iterator[Pair]:
    """The pairs of an exported file, or of anybody's with `prompt`, `chosen` and `rejected`.

    Reads parquet by the suffix `.parquet`, else JSONL; one pair at a time. Raises `ValueError`
    naming the file and the line (in parquet the row, from 1), `ImportError` without pyarrow.
    """
    if path.suffix == ".parquet":
        for number, record in enumerate(_parquet_records(path), 1):
            yield _pair(record, f"{path} row {number}", number)
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path} line {number}"
            try:
                record = json_of(line)
            except ValueError as error:
                raise ValueError(f"{where}: not JSON ({error}); correct or remove it") from error
            yield _pair(record, where, number)


def _pair(record: Any, where: str, number: int) -> Pair:
    if not isinstance(record, Mapping):
        raise ValueError(f"{where}: give an object with prompt, chosen and rejected")
    for name in _TEXTS:
        if not isinstance(record.get(name), str):
            raise ValueError(f"{where}: {name!r} is missing or no text")
    ids = []
    for name in _IDS:
        column = record.get(name) or []
        if not isinstance(column, list) or not all(type(each) is int for each in column):
            raise ValueError(f"{where}: {name!r} is no list of token ids")
        ids.append(tuple(column))
    pair_id = record.get("id") or f"pair-{number}"
    for name in ("id", "trace_id", "model", "trigger_id", "topic"):
        if not isinstance(record.get(name), str | None):
            raise ValueError(f"{where}: {name!r} is no text")
    if type(record.get("ordinal", 0)) is not int:
        raise ValueError(f"{where}: 'ordinal' is no whole number")
    probability = record.get("probability")
    if probability is not None and not isinstance(probability, (int, float)):
        raise ValueError(f"{where}: 'probability' is no number")
    try:
        messages = tuple(json_of(record.get("messages_json") or "[]"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: 'messages_json' is no JSON text ({error})") from error
    return Pair(
        id=pair_id,
        trace_id=record.get("trace_id") or pair_id,
        ordinal=record.get("ordinal", 0),
        model=record.get("model") or "unknown",
        messages=messages,
        prompt=record["prompt"],
        chosen=record["chosen"],
        rejected=record["rejected"],
        prompt_ids=ids[0],
        chosen_ids=ids[1],
        rejected_ids=ids[2],
        # A file that does not know of cut-off sides has none.
        complete=bool(record.get("complete", True)),
        trigger_id=record.get("trigger_id"),
        probability=probability,
        topic=record.get("topic"),
    )


def _write_jsonl(records: Iterable[Mapping[str, Any]], file: IO[bytes]) -> None:
    for record in records:
        text = json.dumps(record, ensure_ascii=False)
        # Half a surrogate pair cannot be written as UTF-8, only as an escape.
        text = text.translate(_LINE_ENDS) if _encodable(text) else json.dumps(record)
        file.write(text.encode("utf-8") + b"\n")


def _write_parquet(records: Iterator[Mapping[str, Any]], file: IO[bytes]) -> None:
    arrow, parquet = _pyarrow()
    ids, text = arrow.list_(arrow.int32()), arrow.string()
    types = dict.fromkeys(_TEXTS, text) | dict.fromkeys(_IDS, ids)
    types |= dict.fromkeys(("messages_json", "id", "trace_id"), text)
    types |= {"ordinal": arrow.int32(), "model": text, "trigger_id": text}
    types |= {"probability": arrow.float64(), "complete": arrow.bool_(), "topic": text}
    schema = arrow.schema(list(types.items()))
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while rows := list(islice(records, _ROWS_AT_ONCE)):
            plain = [{name: _utf8(value) for name, value in row.items()} for row in rows]
            writer.write_table(arrow.Table.from_pylist(plain, schema=schema))


def _parquet_records(path: Path) -> Iterator[dict[str, Any]]:
    arrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{path} is no parquet file: {error}") from error


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError('parquet needs pyarrow: pip install "rerail[train]"') from error
    return pyarrow, pyarrow.parquet


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _utf8(value: Any) -> Any:
    """Parquet has no escape for half a surrogate pair: it becomes a question mark."""
    if isinstance(value, str) and not _encodable(value):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


@contextmanager
def _replacing(path: Path) -> Generator[IO[bytes]]:
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
