"""Traces and pairs to bytes and back, exactly: deflated JSON with the tokens as columns.

JSON and not pickle, because a store is read by other versions and other people. What JSON would
change on the way (tuples, keys that are no strings) is tagged, so that `trace_of(trace_body(t))`
equals `t`; half a surrogate pair survives as an escape.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

from .channels import Channel
from .decision import Verdict
from .events import StepJudged
from .json_text import json_of
from .pairs import Pair
from .tokens import Author, TokenTable
from .traces import Action, FinishReason, Intervention, Scanned, Trace

_FORMAT = 1
_LEVEL = 1
"""The fastest of zlib's; 6 would save about a tenth of the size for up to twice the time."""

_TAGS = ("$map", "$tuple")

_MAX_BYTES = 1 << 28
"""Of a record, unpacked: a trace of a hundred thousand tokens takes a tenth of it, and a few
kilobytes of hostile ones can swell to gigabytes."""

_KINDS: Mapping[Any, Any] = {float: int | float, float | None: int | float | None} | {
    kind: kind for kind in (str, int, bool, str | None, int | None, bool | None)
}
"""What a value of a record's field has to be, by the field's annotation."""

Record = TypeVar("Record", bound="Trace | Pair | StepJudged | Intervention")


def trace_body(trace: Trace) -> bytes:
    """The whole trace. Raises `ValueError` for settings or messages that are no plain values."""
    record = {field.name: getattr(trace, field.name) for field in fields(Trace)}
    record |= {
        "created_at": trace.created_at.isoformat(),
        "messages": plain(trace.messages),
        "prompt_ids": list(trace.prompt_ids),
        "tokens": _table_columns(trace.tokens),
        "steps": [
            [s.index, s.channel, s.text, s.start, s.end, s.probability, s.verdict, s.complete]
            for s in trace.steps
        ],
        "interventions": [_intervention_record(each) for each in trace.interventions],
        "thresholds": {str(name): list(pair) for name, pair in trace.thresholds.items()},
        "sampling": plain(trace.sampling),
    }
    return _packed(record)


def trace_of(body: bytes) -> Trace:
    """The trace that `trace_body` packed. Raises `ValueError` if the bytes are damaged."""
    return _read(body, _trace)


def _trace(record: dict[str, Any]) -> Trace:
    record |= {
        "created_at": datetime.fromisoformat(record["created_at"]),
        "messages": restored(record["messages"]),
        "prompt_ids": tuple(_all(int, record["prompt_ids"])),
        "tokens": _table(record["tokens"]),
        "steps": tuple(_step(row) for row in record["steps"]),
        "interventions": tuple(_intervention(each) for each in record["interventions"]),
        "failures": tuple(_all(str, record["failures"])),
        "action": Action(record["action"]),
        "finish_reason": FinishReason(record["finish_reason"]),
        "scanned": Scanned(record["scanned"]),
        "thresholds": {name: _pair_of_numbers(pair) for name, pair in record["thresholds"].items()},
        "sampling": restored(record["sampling"]),
    }
    return _checked(Trace(**record))


def pair_body(pair: Pair) -> bytes:
    """The whole pair."""
    record = {field.name: getattr(pair, field.name) for field in fields(Pair)}
    return _packed(record | {"messages": plain(pair.messages)})


def pair_of(body: bytes) -> Pair:
    """The pair that `pair_body` packed. Raises `ValueError` if the bytes are damaged."""
    return _read(body, _pair)


def _pair(record: dict[str, Any]) -> Pair:
    record["messages"] = restored(record["messages"])
    for name in ("prompt_ids", "chosen_ids", "rejected_ids"):
        record[name] = tuple(_all(int, record[name]))
    return _checked(Pair(**record))


def plain(value: Any) -> Any:
    """`value` as JSON keeps it; tuples and mappings that JSON would change are tagged."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key not in _TAGS for key in value):
            return {key: plain(each) for key, each in value.items()}
        return {"$map": [[plain(key), plain(each)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return {"$tuple": [plain(each) for each in value]}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return _number(value)


def restored(value: Any) -> Any:
    """What `plain` was given."""
    if isinstance(value, list):
        return [restored(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "$map" in value:
        return {restored(key): restored(each) for key, each in value["$map"]}
    if "$tuple" in value:
        return tuple(restored(each) for each in value["$tuple"])
    return {key: restored(each) for key, each in value.items()}


def _number(value: Any) -> Any:
    """The Python number in a NumPy scalar, which backends and detectors hand out freely."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    raise ValueError(
        f"a {type(value).__name__} cannot be stored: give numbers, text, lists and mappings"
    )


def _packed(record: Mapping[str, Any]) -> bytes:
    text = json.dumps({"format": _FORMAT, **record}, separators=(",", ":"), default=_number)
    return zlib.compress(text.encode("ascii"), _LEVEL)


def _read(body: bytes, build: Callable[[dict[str, Any]], Record]) -> Record:
    """A store may come from anybody, so what is wrong in any way is only ever a `ValueError`."""
    record = _unpacked(body)
    try:
        return build(record)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        raise _damaged(repr(error)) from error


def _damaged(how: object) -> ValueError:
    return ValueError(f"the stored record is damaged ({how})")


def _unpacked(body: bytes) -> dict[str, Any]:
    reader = zlib.decompressobj()
    try:
        text = reader.decompress(body, _MAX_BYTES)
    except zlib.error as error:
        raise _damaged(error) from error
    if not reader.eof:
        size = f"of more than {_MAX_BYTES >> 20} MiB" if reader.unconsumed_tail else "cut off"
        raise _damaged(f"it is {size}")
    record = json_of(text)
    if not isinstance(record, dict) or record.pop("format", None) != _FORMAT:
        raise ValueError("the stored record is in a newer format: upgrade rerail")
    return record


def _checked(record: Record) -> Record:
    """Texts are texts and numbers are numbers: what is shown and sorted is taken at its word."""
    for each in fields(record):
        value = getattr(record, each.name)
        kind = _KINDS.get(each.type, object)
        if not isinstance(value, kind):
            raise _damaged(f"{each.name} is {value!r:.60}")
    mappings = (*getattr(record, "messages", ()), getattr(record, "sampling", {}))
    if not all(isinstance(each, Mapping) for each in mappings):
        raise _damaged("messages or sampling are no mappings")
    return record


def _all(kind: Any, values: Any) -> list[Any]:
    """Raises TypeError unless all values, of a list, are of this kind."""
    if not isinstance(values, list) or not all(isinstance(each, kind) for each in values):
        raise TypeError(f"no list of {kind}")
    return values


def _pair_of_numbers(values: Any) -> tuple[float, float]:
    low, high = _all(int | float, values)
    return low, high


def _table_columns(table: TokenTable) -> dict[str, Any]:
    return {
        "ids": table.ids,
        "texts": table.texts,
        "authors": _runs(table.authors),
        "channels": _runs(table.channels),
        "scores": table.scores,
    }


def _table(columns: Mapping[str, Any]) -> TokenTable:
    ids, texts = _all(int | None, columns["ids"]), _all(str, columns["texts"])
    scores = _all(int | float | None, columns["scores"])
    if not len(ids) == len(texts) == len(scores):
        raise _damaged("its columns have different lengths")
    return TokenTable(
        ids=ids,
        texts=texts,
        authors=[Author(name) for name in _unrolled(columns["authors"], len(texts))],
        channels=[_channel(name) for name in _unrolled(columns["channels"], len(texts))],
        scores=scores,
    )


def _runs(values: Sequence[str | None]) -> list[tuple[str | None, int]]:
    """Run lengths: who wrote a token rarely changes from one to the next."""
    return [(value, len(list(run))) for value, run in groupby(values)]


def _unrolled(runs: Sequence[Sequence[Any]], num: int) -> list[Any]:
    """Raises `ValueError` unless the runs make up so many values; before they take memory."""
    if any(length < 0 for _, length in runs) or sum(length for _, length in runs) != num:
        raise _damaged("its runs have another length")
    return [value for value, length in runs for _ in range(length)]


def _channel(name: str | None) -> Channel | None:
    return None if name is None else Channel(name)


def _step(row: Sequence[Any]) -> StepJudged:
    index, channel, text, start, end, probability, verdict, complete = row
    return _checked(
        StepJudged(
            index, Channel(channel), text, start, end, probability, Verdict(verdict), complete
        )
    )


def _intervention_record(intervention: Intervention) -> dict[str, Any]:
    record = {field.name: getattr(intervention, field.name) for field in fields(Intervention)}
    return record | {"rolled_back": _table_columns(intervention.rolled_back)}


def _intervention(record: dict[str, Any]) -> Intervention:
    rolled_back = _table(record["rolled_back"])
    channel = Channel(record["channel"])
    return _checked(Intervention(**(record | {"rolled_back": rolled_back, "channel": channel})))
