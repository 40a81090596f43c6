"""Requests with a verdict, harmful or not: what the reading of the conversation is learned from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .labels import LabelledTrace, TraceFileError, read_lines


@dataclass(frozen=True, slots=True)
class LabelledRequest:
    """One request and whether complying would do harm."""

    request: str
    harmful: bool
    source: str
    kind: str = ""
    """The set's own type or category, for reports; empty where it has none."""


def read_requests(paths: Iterable[Path]) -> Iterator[LabelledRequest]:
    """The requests of JSON Lines files. Raises `TraceFileError` naming the first bad line."""
    for path in paths:
        for number, data in read_lines(path):
            request, harmful = data.get("request"), data.get("harmful")
            if not isinstance(request, str) or not isinstance(harmful, bool):
                raise TraceFileError(
                    f"{path} line {number} is no request: it needs request (text) and harmful "
                    "(true or false)"
                )
            kind = str(data.get("type") or data.get("category") or data.get("kind") or "")
            yield LabelledRequest(request, harmful, path.stem, kind)


def requests_of(traces: Iterable[LabelledTrace]) -> Iterator[LabelledRequest]:
    """The requests of traces, each once."""
    seen: set[str] = set()
    for trace in traces:
        if trace.request not in seen:
            seen.add(trace.request)
            yield LabelledRequest(trace.request, trace.harmful, trace.source, trace.voice)
