"""What happened in one generation, kept until it becomes a trace."""

import time
from dataclasses import replace
from datetime import UTC, datetime

from .config import GuardConfig
from .decision import Verdict
from .detector import Thresholds
from .events import StepJudged
from .prompt import Prompt
from .tokens import TokenTable
from .traces import Action, FinishReason, Intervention, Scanned, Trace, new_trace_id


class Ledger:
    """The record of a session; only ever added to, by the session alone. Onlookers may read it."""

    def __init__(
        self, config: GuardConfig, prompt: Prompt, detector: str, thresholds: Thresholds
    ) -> None:
        self.action = Action.ALLOW
        self.sampled_tokens = 0
        self.leaked_tokens = 0
        self._config = config
        self._prompt = prompt
        self._started = time.monotonic()
        self.id = new_trace_id()
        """Of the trace to come."""
        self.created_at = datetime.now(UTC)
        self.detector = detector
        """Identity of what decides."""
        self.thresholds = thresholds
        """In force."""
        self.steps: list[StepJudged] = []
        self.interventions: list[Intervention] = []
        """How many tokens the last one put in may not be counted yet."""
        self.failures: list[str] = []

    def step(self, step: StepJudged) -> None:
        """A step has its verdict."""
        self.steps.append(step)
        if step.verdict is Verdict.AUDIT and self.action is Action.ALLOW:
            self.action = Action.AUDIT

    def intervention(self, intervention: Intervention) -> None:
        """A step was taken out; what was put in its place is not counted yet."""
        self.interventions.append(intervention)
        resumed = intervention.trigger_id is not None
        self.action = Action.INTERVENE if resumed else Action.BLOCK

    def injected(self, num_tokens: int) -> Intervention:
        """The last intervention's text has been put in, as so many tokens."""
        last = replace(self.interventions[-1], num_injected=num_tokens)
        self.interventions[-1] = last
        return last

    def failure(self, message: str) -> None:
        """The detector has failed."""
        self.failures.append(message)

    def close(
        self,
        finish_reason: FinishReason,
        tokens: TokenTable,
        *,
        scanned: Scanned,
        wait_tokens: int,
    ) -> Trace:
        """The trace of the whole generation."""
        prompt = self._prompt
        return Trace(
            id=self.id,
            created_at=self.created_at,
            duration_s=time.monotonic() - self._started,
            model=prompt.model,
            detector=self.detector,
            messages=prompt.messages,
            prompt=prompt.text,
            prompt_ids=prompt.ids,
            tokens=tokens,
            steps=tuple(self.steps),
            interventions=self._with_success(finish_reason),
            failures=tuple(self.failures),
            action=self.action,
            finish_reason=finish_reason,
            scanned=scanned,
            leaked_tokens=self.leaked_tokens,
            wait_tokens=wait_tokens,
            sampled_tokens=self.sampled_tokens,
            policy=self._config.policy.value,
            hold=str(self._config.hold),
            thresholds={
                channel.value: (each.inside, each.end)
                for channel, each in self.thresholds.by_channel.items()
            },
            sampling=prompt.sampling,
            seed=prompt.seed,
            topic=prompt.topic,
        )

    def scanned(self, *, unguarded: bool, unread: bool) -> Scanned:
        """How much a detector has read, if it has stopped reading or not all had been read."""
        if unguarded and self.action is not Action.BLOCK:
            return Scanned.PART if self.steps else Scanned.NONE
        return Scanned.PART if unread else Scanned.ALL

    def _with_success(self, finish_reason: FinishReason) -> tuple[Intervention, ...]:
        """A trigger has worked if no further cue followed and the generation ended by itself."""
        ended = finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
        last = len(self.interventions) - 1
        done = []
        for number, each in enumerate(self.interventions):
            worked = (True if ended else None) if number == last else False
            done.append(replace(each, succeeded=None if each.trigger_id is None else worked))
        return tuple(done)
