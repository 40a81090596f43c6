"""A trace as rows to look at: steps, cues that were taken out, and what was put in their place.

The rows are read off the kept text, so nothing of it is left out: what no detector has judged
(markup, a failed scan, an unguarded model) has rows of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ..guard import FORMATS, Channel, FinishReason, Intervention, Segmenter, Trace
from ..guard.decision import Verdict
from ..guard.detector import Threshold
from ..guard.events import StepJudged
from .kept_text import KeptText, Piece

TAKEN_OUT = (Verdict.INTERVENE, Verdict.REFUSE, Verdict.STOP)


class Kind(StrEnum):
    """What a row is."""

    STEP = "step"
    """Judged, and kept."""

    PASSED = "passed"
    """A cue that was let pass and recorded."""

    UNJUDGED = "unjudged"
    MARKUP = "markup"
    REMOVED = "removed"
    """A cue that was taken out, with what the engine had generated beyond it."""

    TRIGGER = "trigger"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Row:
    """One step, or one piece of text that is no step."""

    kind: Kind
    channel: Channel | None
    pieces: tuple[Piece, ...]
    lead: str = ""
    """Blanks between the row before and this one."""

    number: int | None = None
    """The step's position on its branch, from 0; `None` for text that was never judged."""

    score: float | None = None
    """The judged probability; of unjudged text the highest token's."""

    complete: bool = True
    """Whether the step had been read to its end when it was judged."""

    ordinal: int | None = None
    """Which intervention, from 0; of removed rows, triggers and refusals."""

    num_chars: int = 0

    @property
    def text(self) -> str:
        """The text of all its pieces."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def peak(self) -> Piece | None:
        """The token with the highest score."""
        scored = [piece for piece in self.pieces if piece.score is not None]
        return max(scored, key=lambda piece: piece.score or 0.0, default=None)


@dataclass(frozen=True, slots=True)
class Story:
    """A trace and its rows in reading order; a removed row stands before what replaced it."""

    trace: Trace
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, trace: Trace) -> "Story":
        """Linear in the number of tokens."""
        if trace.steps and not any(trace.tokens.texts):
            return cls(trace, tuple(_rows_without_text(trace)))
        return cls(trace, tuple(_rows(trace)))

    @property
    def num_unreleased(self) -> int:
        """Rows at the end that were dropped before their verdict, because the trace was cut off."""
        cut_off = self.trace.finish_reason in (FinishReason.CANCELLED, FinishReason.ERROR)
        if not cut_off or self.trace.hold == "none" or self.trace.detector == "none":
            return 0
        unjudged = 0
        while unjudged < len(self.rows) and self.rows[-1 - unjudged].kind is Kind.UNJUDGED:
            unjudged += 1
        return unjudged


class Firing(StrEnum):
    """What a step would do under other thresholds."""

    FIRES = "fires"
    PASSES = "passes"
    UNKNOWN = "unknown"
    """It was taken out before its end, and stays below the limit that holds inside a step."""


def would_fire(row: Row, threshold: Threshold) -> Firing | None:
    """What `row` would do; `None` if it was never scored.

    Read off the token scores: the last token's holds the verdict at the step's end, unless a score
    inside the step was higher, so a step can be said to fire that would just have passed.
    """
    if row.kind not in (Kind.STEP, Kind.PASSED, Kind.REMOVED) or row.score is None:
        return None
    peak = row.peak
    highest = row.score if peak is None or peak.score is None else peak.score
    if highest >= threshold.inside:
        return Firing.FIRES
    last = next((p.score for p in reversed(row.pieces) if p.score is not None), row.score)
    if not row.complete:
        return Firing.UNKNOWN if highest >= threshold.end else Firing.PASSES
    return Firing.FIRES if last >= threshold.end else Firing.PASSES


class _Span(NamedTuple):
    start: int
    end: int
    step: StepJudged | None
    ordinal: int | None


def _rows(trace: Trace) -> Iterator[Row]:
    text = KeptText(trace.tokens)
    kept, taken = _kept_steps(trace)
    spans = [_Span(each.start, each.end, each, None) for each in kept]
    for ordinal, each in enumerate(trace.interventions):
        start, end = text.offset(each.keep), text.offset(each.keep + each.num_injected)
        step = taken[ordinal] if ordinal < len(taken) else None
        if step is not None and each.channel is not Channel.TOOL_CALL:
            # What had to be put back of a split token belongs to the text before the trigger.
            start = min(max(start, step.start), end)
        spans.append(_Span(start, end, None, ordinal))
    spans.sort(key=lambda span: (span.start, span.ordinal is not None))
    at = 0
    for span in spans:
        rows, lead = _unjudged(text, at, span.start)
        yield from rows
        start = max(at, span.start)
        if span.step is not None:
            yield _step_row(span.step, text.pieces(start, span.end), lead)
        elif span.ordinal is not None:
            each = trace.interventions[span.ordinal]
            step = taken[span.ordinal] if span.ordinal < len(taken) else None
            yield _removed_row(each, step, span.ordinal, lead)
            yield from _injected_rows(each, text, start, span.end, span.ordinal, lead)
        at = max(start, span.end)
    yield from _unjudged(text, at, text.size)[0]


def _kept_steps(trace: Trace) -> tuple[list[StepJudged], list[StepJudged]]:
    """The judged steps that are on the kept branch, and those that were taken out."""
    kept: list[StepJudged] = []
    taken: list[StepJudged] = []
    for step in trace.steps:
        if step.verdict not in TAKEN_OUT:
            kept.append(step)
            continue
        if len(taken) < len(trace.interventions):
            # Of a tool call earlier parts, which had passed, go with the part that did not.
            first = trace.interventions[len(taken)].step_index
            while kept and kept[-1].index >= first:
                kept.pop()
        taken.append(step)
    return kept, taken


def _step_row(step: StepJudged, pieces: tuple[Piece, ...], lead: str) -> Row:
    kind = Kind.PASSED if step.verdict is Verdict.AUDIT else Kind.STEP
    return Row(
        kind, step.channel, pieces, lead, step.index, step.probability, step.complete,
        num_chars=step.end - step.start,
    )  # fmt: skip


def _removed_row(each: Intervention, step: StepJudged | None, ordinal: int, lead: str) -> Row:
    table = each.rolled_back
    return Row(
        Kind.REMOVED,
        each.channel,
        tuple(map(Piece, table.texts, table.scores)),
        lead,
        each.step_index,
        each.probability,
        step.complete if step is not None else True,
        ordinal,
        step.end - step.start if step is not None else len(each.cue),
    )


def _injected_rows(
    each: Intervention, text: KeptText, start: int, end: int, ordinal: int, lead: str
) -> Iterator[Row]:
    """A refusal may go from the chain of thought to the answer, so it can be several rows."""
    kind = Kind.REFUSAL if each.trigger_id is None else Kind.TRIGGER
    for first, last, channel in text.channel_runs(start, end):
        pieces = text.pieces(first, last)
        blank = not "".join(piece.text for piece in pieces).strip()
        if not blank:
            row_kind = Kind.MARKUP if channel is None else kind
            yield Row(row_kind, channel, pieces, lead, ordinal=ordinal, num_chars=last - first)
            lead = ""


def _unjudged(text: KeptText, start: int, end: int) -> tuple[list[Row], str]:
    """Rows of what lies between two spans, and the blanks after the last of them."""
    rows: list[Row] = []
    lead = ""
    for first, last, channel in text.channel_runs(start, end):
        run = text.slice(first, last)
        if not run.strip():
            lead += run
            continue
        parts = [(0, len(run))] if channel is None else _sentences(run)
        at = 0
        for begin, stop in parts:
            pieces = text.pieces(first + begin, first + stop)
            scores = [piece.score for piece in pieces if piece.score is not None]
            rows.append(
                Row(
                    Kind.MARKUP if channel is None else Kind.UNJUDGED,
                    channel,
                    pieces,
                    lead + run[at:begin],
                    score=max(scores, default=None),
                    num_chars=stop - begin,
                )
            )
            at, lead = stop, ""
        lead = run[at:]
    return rows, lead


def _sentences(text: str) -> list[tuple[int, int]]:
    segmenter = Segmenter(FORMATS["none"], reasoning_open=False)
    pieces = segmenter.read(text) + segmenter.end()
    return [(piece.step.start, piece.step.end) for piece in pieces if piece.step is not None]


def _rows_without_text(trace: Trace) -> Iterator[Row]:
    """Of a trace that was stored without its texts only the verdicts are left."""
    ordinal = 0
    for step in trace.steps:
        if step.verdict not in TAKEN_OUT or ordinal >= len(trace.interventions):
            yield _step_row(step, (), "")
            continue
        each = trace.interventions[ordinal]
        scores = each.rolled_back.scores
        pieces = tuple(Piece("", score) for score in scores)
        yield Row(
            Kind.REMOVED, each.channel, pieces, "", each.step_index, each.probability,
            step.complete, ordinal, step.end - step.start,
        )  # fmt: skip
        kind = Kind.REFUSAL if each.trigger_id is None else Kind.TRIGGER
        yield Row(kind, each.channel, (), ordinal=ordinal)
        ordinal += 1
