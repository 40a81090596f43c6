"""A generation as an onlooker knows it so far, put together from frames."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import accumulate

from ..guard import Action, FinishReason, Intervention, Scanned, TokenTable, Trace
from ..guard.decision import Verdict
from ..guard.events import StepJudged
from .live_frame import Begin, Frame
from .story import TAKEN_OUT


class LiveTrace:
    """Grows by `apply`; `tail` is what can be drawn of it now."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.begin: Begin | None = None
        self.tokens = TokenTable()
        self.steps: list[StepJudged] = []
        self.interventions: list[Intervention] = []
        self.released = 0
        self.finished: tuple[Action, FinishReason] | None = None
        self.lost = False
        """The process that wrote it is gone."""

    @property
    def action(self) -> Action:
        """What has been done so far; at the end, what was recorded."""
        if self.finished is not None:
            return self.finished[0]
        if self.interventions:
            refused = self.interventions[-1].trigger_id is None
            return Action.BLOCK if refused else Action.INTERVENE
        audited = any(step.verdict is Verdict.AUDIT for step in self.steps)
        return Action.AUDIT if audited else Action.ALLOW

    def apply(self, frame: Frame) -> list[Intervention]:
        """Takes a frame in; gives the interventions that are new in it."""
        if frame.begin is not None:
            self.begin = frame.begin
        self.tokens.cut(min(frame.keep, len(self.tokens)))
        if len(self.tokens) == frame.keep:  # else a frame is missing, and the next whole one heals
            for name in ("ids", "texts", "authors", "channels", "scores"):
                getattr(self.tokens, name).extend(getattr(frame.tokens, name))
        del self.steps[frame.first_step :]
        self.steps.extend(frame.steps)
        known = len(self.interventions)
        del self.interventions[frame.first_intervention :]
        self.interventions.extend(frame.interventions)
        self.released = frame.released
        self.finished = frame.finished or self.finished
        return self.interventions[known:]

    def complete(self, trace: Trace) -> bool:
        """Takes the finished trace in; whether it holds interventions that no frame has told of."""
        fresh = len(trace.interventions) > len(self.interventions)
        self.tokens = trace.tokens
        self.steps = list(trace.steps)
        self.interventions = list(trace.interventions)
        self.finished = (trace.action, trace.finish_reason)
        self.released = len(trace.text)
        return fresh

    def tail(self, num_tokens: int) -> tuple[Trace, int]:
        """The last tokens as a trace of their own, and the offset in it up to which text has left.

        Drawing costs the same however long the generation has become.
        """
        first = max(0, len(self.tokens) - num_tokens)
        ends = list(accumulate(map(len, self.tokens.texts)))
        offset = ends[first - 1] if first else 0
        # A branch that was taken out stands where it was cut: it is shown as long as that is.
        shown = [each for each in self.interventions if each.keep >= first]
        num_hidden = len(self.interventions) - len(shown)
        steps: list[StepJudged] = []
        for step in self.steps:
            if step.verdict in TAKEN_OUT:
                if num_hidden:
                    num_hidden -= 1
                    continue
            elif step.start < offset:
                continue
            steps.append(replace(step, start=step.start - offset, end=step.end - offset))
        tokens = TokenTable(
            self.tokens.ids[first:],
            self.tokens.texts[first:],
            self.tokens.authors[first:],
            self.tokens.channels[first:],
            self.tokens.scores[first:],
        )
        moved = tuple(replace(each, keep=each.keep - first) for each in shown)
        return self._trace(tokens, tuple(steps), moved), max(0, self.released - offset)

    def _trace(
        self,
        tokens: TokenTable,
        steps: tuple[StepJudged, ...],
        interventions: tuple[Intervention, ...],
    ) -> Trace:
        begin = self.begin
        created = datetime.fromisoformat(begin.created_at) if begin else datetime.now(UTC)
        return Trace(
            id=self.stream,
            created_at=created,
            duration_s=0.0,
            model=begin.model if begin else "",
            detector=begin.detector if begin else "",
            messages=({"role": "user", "content": begin.request if begin else ""},),
            prompt="",
            prompt_ids=(),
            tokens=tokens,
            steps=steps,
            interventions=interventions,
            failures=(),
            action=self.action,
            finish_reason=self.finished[1] if self.finished else FinishReason.STOP,
            scanned=Scanned.ALL,
            leaked_tokens=0,
            wait_tokens=0,
            sampled_tokens=len(tokens),
            policy=begin.policy if begin else "",
            hold=begin.hold if begin else "",
            thresholds=begin.thresholds if begin else {},
        )
