"""Runs a detector over recorded traces as the guard would: word by word, step by step."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..guard.channels import Channel
from ..guard.detector import Detector
from .labels import LabelledTrace

_CHUNK = re.compile(r"\s*\S{1,8}")
"""About the size of a token."""


@dataclass(frozen=True, slots=True)
class ReplayedTrace:
    """One trace with what the detector made of it."""

    trace: LabelledTrace
    scores: tuple[float, ...]
    """For each step the highest score inside it or at its end."""

    ends: tuple[float, ...]
    """For each step the score at its end."""

    intervene: int | None
    """The first step at which the default thresholds act."""

    chunks_to_decision: int | None
    """Chunks read from the start of the first cue's step until they act, which stand in for tokens;
    `None` where they never do, or before that step."""

    @property
    def highest(self) -> float:
        """The highest score of any step's end; 0 without steps."""
        return max(self.ends, default=0.0)


def replay(
    detector: Detector, traces: Iterable[LabelledTrace], *, max_steps: int | None = None
) -> list[ReplayedTrace]:
    """Every trace by itself, from the request on; nothing is rolled back."""
    return [_replayed(detector, trace, trace.steps[:max_steps]) for trace in traces]


def grouped_by_source(replayed: Iterable[ReplayedTrace]) -> dict[str, list[ReplayedTrace]]:
    """The traces of each source, by the sources' names in order."""
    groups: dict[str, list[ReplayedTrace]] = defaultdict(list)
    for entry in replayed:
        groups[entry.trace.source].append(entry)
    return dict(sorted(groups.items()))


def _replayed(detector: Detector, trace: LabelledTrace, steps: Sequence[str]) -> ReplayedTrace:
    threshold = detector.thresholds.by_channel[Channel.REASONING]
    states = [detector.start([{"role": "user", "content": trace.request}])]
    scores: list[float] = []
    ends: list[float] = []
    acted: int | None = None
    to_decision: int | None = None
    since_cue = 0
    for index, step in enumerate(steps):
        chunks = _CHUNK.findall(step)
        highest = 0.0
        acted_inside: int | None = None
        for position, chunk in enumerate(chunks, start=1):
            states, probabilities = detector.score(states, [chunk], [Channel.REASONING])
            inside = float(probabilities[0])
            highest = max(highest, inside)
            if acted_inside is None and inside >= threshold.inside:
                acted_inside = position
        states, probabilities = detector.end_step(states, [step])
        end = float(probabilities[0])
        scores.append(max(highest, end))
        ends.append(end)
        if acted is None and (acted_inside is not None or end >= threshold.end):
            acted = index
            if trace.first_cue is not None and index >= trace.first_cue:
                to_decision = since_cue + (acted_inside or len(chunks))
        if trace.first_cue is not None and index >= trace.first_cue:
            since_cue += len(chunks)
    return ReplayedTrace(trace, tuple(scores), tuple(ends), acted, to_decision)
