"""One guarded generation as a state machine: tokens in, text for the detector out, events out.

Pure: no model, no detector, no clock beyond the trace's. Drivers feed tokens as they are sampled,
`judge` (judge.py) has the detector read what the session asks to have read, and when `directive` is
set the driver stops its engine, injects, and goes on from `context_ids`. Sync and async drivers
share all of this.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .branch import Branch
from .channels import Channel
from .checkpoints import Checkpoints
from .config import GuardConfig, OnDetectorError, Policy
from .decision import Verdict, decide_on_failure
from .detector import Thresholds
from .events import (
    DetectorFailed,
    Event,
    Finished,
    Retracted,
    RolledBack,
    StepJudged,
    TriggerInjected,
)
from .intake import Intake
from .ledger import Ledger
from .prompt import Prompt
from .reasoning_format import ReasoningFormat
from .release import ReleaseGate
from .replacements import Replacements
from .segmenter import Segmenter
from .steps import Mark, Piece, Step
from .suspicion import Suspicion
from .tokens import Token, TokenTable
from .traces import FinishReason, Intervention, Trace
from .triggers import Trigger, TriggerPool


@dataclass(frozen=True, slots=True)
class Directive:
    """What the driver has to do now: stop the engine, inject `text`, and maybe go on."""

    text: str
    """To be encoded and handed to `Session.inject`; may be empty where nothing goes on."""

    resume: bool
    """Whether generation goes on from the session's context after the injection."""


class Session:
    """The guard's view of one stream. `n` choices of one request are `n` sessions."""

    def __init__(
        self,
        config: GuardConfig,
        prompt: Prompt,
        *,
        detector: str,
        detector_state: Any | None,
        thresholds: Thresholds,
        reasoning_format: ReasoningFormat,
        triggers: TriggerPool,
        stream_index: int = 0,
    ) -> None:
        self.config = config
        self.prompt = prompt
        self.state = detector_state
        self.directive: Directive | None = None
        self.trace: Trace | None = None
        self.reading: Piece | None = None
        """The piece that the detector has to read next."""
        thresholds = config.thresholds(thresholds)
        self._ledger = Ledger(config, prompt, detector, thresholds)
        reasoning_open = reasoning_format.is_open(prompt.text)
        self._segmenter = Segmenter(
            reasoning_format, reasoning_open=reasoning_open, max_step_chars=config.max_step_chars
        )
        hold = "none" if config.policy is Policy.AUDIT else config.hold
        self._hold_tokens = hold if isinstance(hold, int) else 0
        self._gate = ReleaseGate(hold)
        self._branch = Branch()
        self._intake = Intake(self._segmenter, self._branch, self._gate)
        self._replacements = Replacements(config, prompt, triggers, stream_index)
        self._suspicion = Suspicion(config, thresholds, self._replacements.left)
        self._events: list[Event] = []

        self._checkpoints = Checkpoints(detector_state)
        self._unguarded = detector_state is None
        self._raised: Exception | None = None
        self._trigger: Trigger | None = None  # to be injected now

    # -- the driver's side --------------------------------------------------------------------

    @property
    def context_ids(self) -> tuple[int, ...]:
        """What the model has to continue: the prompt and all kept tokens."""
        return self.prompt.ids + self._branch.tokens.known_ids()

    @property
    def tokens(self) -> TokenTable:
        """The kept tokens after the prompt, as far as they have been taken in."""
        return self._branch.tokens

    @property
    def ledger(self) -> Ledger:
        """The record so far: for onlookers, who must leave it as it is."""
        return self._ledger

    @property
    def released(self) -> int:
        """Offset in the kept text up to which it has left."""
        return self._gate.released

    @property
    def num_tokens(self) -> int:
        """Kept tokens after the prompt, with those that wait to be read."""
        return len(self._branch) + self.num_waiting

    @property
    def num_waiting(self) -> int:
        """Tokens that wait to be read."""
        return self._intake.num_waiting

    @property
    def reads_on(self) -> bool:
        """Whether all that waits is a few words of a generation that goes on."""
        return self._intake.is_short

    def feed(self, tokens: Iterable[Token]) -> None:
        """Takes sampled tokens; they may run ahead of the detector by any number."""
        self._ledger.sampled_tokens += self._intake.add(tokens)

    def inject(self, tokens: Iterable[Token]) -> None:
        """Takes the directive's text, encoded. The detector reads it too, without a verdict."""
        assert self.directive is not None, "nothing is to be injected"
        num_injected = self._intake.inject(tokens)
        last = self._ledger.injected(num_injected)
        if num_injected:
            self._events.append(
                TriggerInjected(last.injected, num_injected, self._trigger, last.channel)
            )
        if self.directive.resume:
            self._intake.end(None)
        self.directive = None

    def end(self, finish_reason: FinishReason) -> None:
        """The engine has ended by itself; what is left to read may still bring a directive."""
        if self._intake.finish_reason is None:
            self._intake.end(finish_reason)

    def cancel(self, finish_reason: FinishReason = FinishReason.CANCELLED) -> None:
        """Ends at once: what waits for a verdict is dropped and never released."""
        self._intake.drop()
        self._intake.end(finish_reason)
        self.directive = self.reading = None
        self._finish(finish_reason, cancelled=True)

    def take_events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    # -- the detector's side ------------------------------------------------------------------

    def advance(self) -> bool:
        """Moves to the next piece of text to be read, `reading`; False if there is none now."""
        if self._raised is not None:
            raise self._raised  # whoever goes on after the exception must not skip the text
        while self.directive is None and self.trace is None:
            piece = self._intake.next()
            if piece is None:
                if self._intake.finish_reason is None:
                    break
                self._finish(self._intake.finish_reason)
            elif piece.inside_step and not self._unguarded:
                self.reading = piece
                return True
            else:
                self._pass_unread(piece)
        self.reading = None
        return False

    def scored(self, state: Any, probability: float) -> None:
        """The detector has read `reading.text`: its next state, and the step's probability."""
        piece = self.reading
        assert piece is not None and piece.channel is not None
        self.state = state
        if self._intake.injected:
            self._branch.settle(piece, None)
            self._events.extend(self._gate.settle(piece))
            return
        if not 0.0 <= probability <= 1.0:
            self._no_probability(probability)
            return
        self._branch.settle(piece, probability)
        released = self._gate.settle(piece)
        if released:
            self._events.extend(released)
        if self._hold_tokens and len(self._branch) > self._hold_tokens:
            # What lies N tokens back may leave, judged or not.
            held_from = self._branch.end_of(-1 - self._hold_tokens)
            self._events.extend(self._gate.pass_to(held_from))
        verdict = self._suspicion.read(probability, piece)
        if verdict is not Verdict.HOLD:
            self._act_inside(piece, probability, verdict)

    @property
    def step_ended(self) -> Step | None:
        """The step that ended with `reading`, if the detector has still to judge it."""
        if self.reading is None or self.directive is not None or self._unguarded:
            return None
        if self._raised is not None:
            return None  # `advance` says so
        return self.reading.step

    def judged(self, state: Any, probability: float) -> None:
        """The detector's final word on the step that has ended."""
        assert self.reading is not None and self.reading.step is not None
        step = self.reading.step
        if self._intake.injected:
            self.state = state
            self._step_done(step)
            return
        if not 0.0 <= probability <= 1.0:
            self._no_probability(probability)
            return
        self._branch.settle(self.reading, probability)
        verdict, deciding = self._suspicion.end(probability, step.channel)
        event = StepJudged(
            step.index, step.channel, step.text, step.start, step.end, deciding, verdict,
            complete=True,
        )  # fmt: skip
        self._judge(event)
        if verdict in (Verdict.RELEASE, Verdict.AUDIT):
            self.state = state
            self._step_done(step)
        else:
            self._take_out(event, step.mark)

    def detector_failed(self, error: Exception) -> None:
        """The detector raised: an event, never a low score. Fails closed by default."""
        if self.config.on_detector_error is OnDetectorError.RAISE:
            self._raised = error
            raise error
        message = f"{type(error).__name__}: {error}"
        self._ledger.failure(message)
        verdict = decide_on_failure(self.config.on_detector_error, self.config.policy)
        self._events.append(DetectorFailed(message, verdict))
        self._unguarded = True
        piece = self.reading
        if verdict is not Verdict.AUDIT:
            self._act_inside(piece, None, verdict)
        elif piece is not None:
            self._gate.settle(piece)
            self._events.extend(self._gate.pass_to(piece.end))

    def _no_probability(self, given: float) -> None:
        self.detector_failed(ValueError(f"the detector gave {given} as a probability"))

    # -- inside -------------------------------------------------------------------------------

    def _pass_unread(self, piece: Piece) -> None:
        """Text that no detector has to read: blanks, markup, and all after a failure let pass."""
        self._branch.settle(piece, None)
        in_call = self._intake.channel is Channel.TOOL_CALL
        self._checkpoints.between_steps(self.state, in_call=in_call)
        self._events.extend(self._gate.settle(piece, in_call=in_call))
        if self._unguarded:
            self._events.extend(self._gate.pass_to(piece.end))

    def _act_inside(self, piece: Piece | None, probability: float | None, verdict: Verdict) -> None:
        """Takes out the step that is under way, before it has been judged as a whole."""
        # One token can hold the ends of several steps: then the mark is with the step's last piece.
        waiting = self._intake.pieces
        of_step = [piece, *waiting] if piece is not None else waiting
        step = next((each.step for each in of_step if each.step is not None), None)
        mark = step.mark if step is not None else self._segmenter.mark()
        channel = (piece.channel if piece is not None else None) or self._segmenter.channel
        text = self._branch.text_from(mark.offset)
        start, end = mark.offset, mark.offset + len(text)
        event = StepJudged(
            mark.num_steps, channel, text, start, end, probability, verdict, complete=False
        )
        self._judge(event)
        self._take_out(event, mark)

    def _judge(self, event: StepJudged) -> None:
        self._ledger.step(event)
        self._events.append(event)

    def _step_done(self, step: Step) -> None:
        self.reading = None
        self._checkpoints.step_done(self.state)
        self._suspicion.clear()
        self._events.extend(self._gate.step_passed(step.end, step.channel))

    def _take_out(self, step: StepJudged, mark: Mark) -> None:
        """Rolls back to `mark` and sets the directive for what comes in the step's place."""
        keep, head = self._branch.boundary(mark.offset)
        removed = self._roll_back(keep, mark, step.channel, already_read=len(head))
        replacement = self._replacements.draw(
            step.verdict, step.channel, step.text, self._segmenter
        )
        trigger, text = replacement.trigger, head + replacement.text
        self._ledger.intervention(
            Intervention(
                keep=keep,
                channel=step.channel,
                step_index=mark.num_steps,
                cue=step.text,
                probability=step.probability,
                trigger_id=trigger.id if trigger else None,
                trigger_kind=trigger.kind.value if trigger else None,
                injected=text,
                num_injected=0,
                rolled_back=removed,
            )
        )
        self._trigger = trigger
        resume = step.verdict is Verdict.INTERVENE
        self._intake.end(None if resume else FinishReason.CONTENT_FILTER)
        self.directive = Directive(text, resume)

    def _roll_back(
        self, keep: int, mark: Mark, channel: Channel, *, already_read: int
    ) -> TokenTable:
        """Takes the tokens from `keep` on out of the branch, with the engine's run-ahead."""
        offset, released = mark.offset, self._gate.released
        if released > offset:
            num_leaked = self._branch.num_tokens_between(offset, released)
            self._ledger.leaked_tokens += num_leaked
            leaked = self._branch.text_from(offset)[: released - offset]
            self._events.append(Retracted(leaked, num_leaked, offset))
        self._gate.cut(offset)
        removed = self._intake.roll_back(keep, mark, already_read=already_read)
        self.state = self._checkpoints.roll_back(channel)
        self.reading = None
        self._suspicion.clear()
        self._events.append(RolledBack(removed.text, len(removed), keep, channel))
        return removed

    def _finish(self, finish_reason: FinishReason, *, cancelled: bool = False) -> None:
        if not cancelled:
            self._events.extend(self._gate.pass_to(self._branch.end))
        self.trace = self._ledger.close(
            finish_reason,
            self._branch.tokens,
            scanned=self._ledger.scanned(unguarded=self._unguarded, unread=cancelled),
            wait_tokens=self._gate.wait_tokens,
        )
        self._events.append(Finished(self.trace))
