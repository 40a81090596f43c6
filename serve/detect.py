"""Runs the guard over recorded chains of thought, as if they were being generated.

It is the guard's own machinery: every trace is a `Session` under the `audit` policy, which changes
nothing. Up to the first cue `audit` and `intervene` see the same text and the same scores, so the
step that it would have let pass is the one that `intervene` would have taken out.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

from ..guard import (
    Detector,
    FinishReason,
    Guard,
    GuardConfig,
    OnDetectorError,
    Policy,
    Prompt,
    ReasoningFormat,
    Session,
    Token,
    Trace,
)
from ..guard.decision import Verdict
from ..guard.judge import judge
from .recorded import RecordedTrace

_PLAIN = ReasoningFormat("recorded", tags=(), open_reasoning="<think>\n")
"""All of `think` is chain of thought, whatever looks like markup in it."""

_CHUNK = re.compile(r"\s?[^\W_]{1,8}|\s|.", re.DOTALL)
"""About as long as a token; scores are given for these."""

_AHEAD = 32
"""Chunks that a stream is given at once, so that streams of one batch advance evenly."""


@dataclass(frozen=True, slots=True)
class Detection:
    """What the guard sees in one recorded trace."""

    id: str

    scores: tuple[float | None, ...]
    """For each step of the file the highest score of a token in it; `None` where none was scored,
    such as for a span of blanks."""

    intervene: int
    """Index of the step at which the policy would first intervene, or -1."""


def detections(
    traces: Iterable[RecordedTrace],
    detector: Detector,
    config: GuardConfig | None = None,
    *,
    num_streams: int = 64,
) -> Iterator[Detection]:
    """One for every trace, in their order; `num_streams` of them are read side by side.

    What the detector raises goes through: a trace that could not be read has no scores.
    """
    settings = replace(
        config or GuardConfig(), policy=Policy.AUDIT, on_detector_error=OnDetectorError.RAISE
    )
    guard = Guard(detector, settings)
    source = enumerate(traces)
    running: dict[int, _Stream] = {}
    done: dict[int, Detection] = {}
    next_out = 0
    while True:
        while len(running) < num_streams and (item := next(source, None)) is not None:
            index, trace = item
            running[index] = _Stream(guard, trace)
        if not running:
            return
        for stream in running.values():
            stream.feed()
        judge(detector, [stream.session for stream in running.values()])
        for index in [each for each, stream in running.items() if stream.session.trace]:
            stream = running.pop(index)
            assert stream.session.trace is not None
            done[index] = detection(stream.recorded, stream.session.trace)
        while next_out in done:
            yield done.pop(next_out)
            next_out += 1


class _Stream:
    """One trace on its way through a session."""

    def __init__(self, guard: Guard, recorded: RecordedTrace) -> None:
        # The text only says that the chain of thought is open; detectors read the messages.
        prompt = Prompt(messages=recorded.messages, text=_PLAIN.open_reasoning, model="recorded")
        self.recorded = recorded
        self.session: Session = guard.open(prompt, _PLAIN)
        self._chunks = iter(_CHUNK.findall(recorded.think))

    def feed(self) -> None:
        tokens = [Token(None, text) for text, _ in zip(self._chunks, range(_AHEAD), strict=False)]
        self.session.feed(tokens)
        if len(tokens) < _AHEAD:
            self.session.end(FinishReason.STOP)


def detection(recorded: RecordedTrace, trace: Trace) -> Detection:
    """Carries scores and cue from the guard's own steps over to the spans of the file."""
    ends = list(accumulate(len(text) for text in trace.tokens.texts))
    highest: list[float | None] = [None] * len(recorded.steps)
    first = 0
    for position, (start, end) in enumerate(recorded.steps):
        while first < len(ends) and ends[first] <= start:
            first += 1
        token = first
        while token < len(ends) and (ends[token - 1] if token else 0) < end:
            score, best = trace.tokens.scores[token], highest[position]
            if score is not None and (best is None or score > best):
                highest[position] = score
            token += 1
    cue = next((step.start for step in trace.steps if step.verdict is Verdict.AUDIT), None)
    return Detection(recorded.id, tuple(highest), _index_at(recorded.steps, cue))


def _index_at(steps: tuple[tuple[int, int], ...], offset: int | None) -> int:
    """The span that holds the character at `offset`; of a blank between two, the later span."""
    if offset is None or not steps:
        return -1
    return next((index for index, (_, end) in enumerate(steps) if end > offset), len(steps) - 1)
