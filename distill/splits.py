"""Which traces and requests are held out: by request, never by row.

Every trace on a request goes with it, so nothing held out has been seen in another voice.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .config import DistillConfig
from .labels import LabelledTrace
from .request_sets import LabelledRequest, requests_of


@dataclass(frozen=True, slots=True)
class Split:
    """The data of one distillation, divided."""

    train: tuple[LabelledTrace, ...]
    held: tuple[LabelledTrace, ...]
    measured: tuple[LabelledTrace, ...]
    """Neither trained nor calibrated on."""

    train_requests: tuple[LabelledRequest, ...]
    held_requests: tuple[LabelledRequest, ...]


def is_held(request: str, num_folds: int) -> bool:
    """Whether a request falls into the held-out fold, which is fold 0."""
    return fold_of(request, num_folds) == 0


def fold_of(request: str, num_folds: int) -> int:
    """The fold of a request, from 0; the same on every machine."""
    return zlib.crc32(request.encode()) % num_folds


def split(
    traces: Iterable[LabelledTrace], requests: Sequence[LabelledRequest], config: DistillConfig
) -> Split:
    """Divides the data as the configuration says."""
    train: list[LabelledTrace] = []
    held: list[LabelledTrace] = []
    measured: list[LabelledTrace] = []
    for trace in traces:
        if trace.source in config.measured_sources:
            measured.append(trace)
        elif (
            is_held(trace.request, config.num_folds)
            or any(mark in trace.id for mark in config.held_marks)
            or trace.voice in config.held_voices
            or trace.source in config.held_sources
        ):
            held.append(trace)
        else:
            train.append(trace)
    untrained = {trace.request for trace in (*held, *measured)}
    train_requests = {entry.request: entry for entry in requests_of(train)}
    held_requests: dict[str, LabelledRequest] = {}
    for entry in requests:
        if entry.request in untrained or is_held(entry.request, config.num_folds):
            held_requests.setdefault(entry.request, entry)
        else:
            train_requests.setdefault(entry.request, entry)
    # A request of a held voice may also have a trace in a trained one: then it has been seen.
    train_requests = {text: e for text, e in train_requests.items() if text not in untrained}
    return Split(
        tuple(train),
        tuple(held),
        tuple(measured),
        tuple(train_requests.values()),
        tuple(held_requests.values()),
    )
