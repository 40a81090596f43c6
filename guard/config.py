"""How the guard behaves: one dataclass, from which the command line and YAML files are derived."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, cast

from .channels import Channel
from .detector import Threshold, Thresholds

Hold = Literal["step", "none"] | int
""""step", "none", or a number of tokens: see `GuardConfig.hold`."""


class Policy(StrEnum):
    """What to do about a compliance cue."""

    INTERVENE = "intervene"
    """Roll the step back, put a safety trigger in its place, let the model go on."""

    AUDIT = "audit"
    """Change nothing; record what would have been done."""

    BLOCK = "block"
    """End the generation with a refusal."""


class WhenSpent(StrEnum):
    """What follows a cue when the budget of interventions is spent."""

    REFUSE = "refuse"
    """Take the step out and end with a refusal."""

    STOP = "stop"
    """Take the step out and end there."""

    AUDIT = "audit"
    """Let it pass, recorded."""


class OnDetectorError(StrEnum):
    """What follows when the detector raises, or answers with something that is no probability."""

    REFUSE = "refuse"
    """Fail closed: nothing unjudged is released, the generation ends with a refusal."""

    RELEASE = "release"
    """Fail open: go on without a guard; the trace is stored as not scanned."""

    RAISE = "raise"
    """Hand the exception on to the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardConfig:
    """Settings of one guard; immutable, checked when made. Wrong values raise `ValueError`."""

    policy: Policy = Policy.INTERVENE
    """What to do about a compliance cue."""

    hold: Hold = "step"
    """What may be released before its verdict: "step" nothing; a number N, tokens that lie N tokens
    back; "none" everything, and what leaks is counted and taken back."""

    threshold: float | None = None
    """Probability at a step's end from which it counts as a cue; the detector's own where None."""

    threshold_inside: float | None = None
    """The same inside a step, acted on at once; by default the detector's own, and never below
    `threshold`."""

    max_interventions: int = 5
    """Interventions in the chain of thought of one generation. The paper's harmful ratio still
    falls at the fifth: 100, 60, 40, 25, 18, 15 % (arXiv 2509.24393)."""

    max_answer_interventions: int = 2
    """The same in the answer."""

    max_tool_interventions: int = 1
    """The same in tool calls."""

    when_spent: WhenSpent = WhenSpent.REFUSE
    """What follows a cue when the budget of its channel is spent."""

    on_detector_error: OnDetectorError = OnDetectorError.REFUSE
    """What follows when the detector fails."""

    refusals: tuple[str, ...] = (
        "I can't help with that. If there is a safe and lawful goal behind it, tell me about it "
        "and I'll gladly help with that instead.",
        "I won't go further with this, because it could hurt someone. I'm happy to help with a "
        "safe way to reach what you need.",
    )
    """Texts that end a refused generation; one is picked by the seed."""

    triggers: Path | None = None
    """A JSON Lines file of safety triggers: `text`, and optionally `kind`, `id` and `channels`."""

    replace_triggers: bool = False
    """Use only the triggers of that file, instead of adding them to the built-in pool."""

    trigger_sampling: Literal["uniform", "adaptive"] = "uniform"
    """"adaptive" prefers triggers that have worked, by what the store has recorded."""

    seed: int = 0
    """Seed for the choice of triggers and refusals."""

    reasoning_format: Literal["auto", "r1", "deepseek_r1", "qwen3", "harmony", "none"] = "auto"
    """How the model marks its chain of thought; "auto" reads it off the tokenizer's vocabulary."""

    max_step_chars: int = 400
    """A step is ended at this length if nothing else ends it."""

    def __post_init__(self) -> None:
        for name, kind in (
            ("policy", Policy),
            ("when_spent", WhenSpent),
            ("on_detector_error", OnDetectorError),
        ):
            try:
                object.__setattr__(self, name, kind(getattr(self, name)))
            except ValueError:
                words = ", ".join(each.value for each in kind)
                raise ValueError(f"{name} is {getattr(self, name)!r}: use one of {words}") from None
        hold = cast(object, self.hold)  # whatever a caller without a type checker gave
        if isinstance(hold, bool) or (hold not in ("step", "none") and not isinstance(hold, int)):
            raise ValueError(f'hold is {hold!r}: give "step", "none" or a number of tokens')
        if isinstance(self.hold, int) and self.hold < 1:
            raise ValueError(f'hold is {self.hold}: give at least 1 token, or "none"')
        for name in ("threshold", "threshold_inside"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is {value}: give a number from 0 to 1")
        for name in ("max_interventions", "max_answer_interventions", "max_tool_interventions"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or more")
        if self.max_step_chars < 20:
            raise ValueError(f"max_step_chars is {self.max_step_chars}: give at least 20")
        if not self.refusals or not all(text.strip() for text in self.refusals):
            raise ValueError("refusals is empty: give at least one refusal text")
        if self.replace_triggers and self.triggers is None:
            raise ValueError("replace_triggers needs a triggers file")

    def budget(self, channel: Channel) -> int:
        """Interventions allowed in one channel of one generation."""
        if channel is Channel.REASONING:
            return self.max_interventions
        if channel is Channel.ANSWER:
            return self.max_answer_interventions
        return self.max_tool_interventions

    def thresholds(self, calibrated: Thresholds) -> Thresholds:
        """The thresholds in force: these settings over the detector's calibrated defaults."""

        def chosen(default: Threshold) -> Threshold:
            end = default.end if self.threshold is None else self.threshold
            inside = default.inside if self.threshold_inside is None else self.threshold_inside
            return Threshold(inside=max(inside, end), end=end)

        if self.threshold is None and self.threshold_inside is None:
            return calibrated
        return Thresholds(
            chosen(calibrated.reasoning), chosen(calibrated.answer), chosen(calibrated.tool_call)
        )
