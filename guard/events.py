"""What happens during a guarded generation, in the order in which it happens.

Concatenating the text of every `Released`, minus what a `Retracted` takes back, gives the final
text. With `hold="step"` nothing is ever taken back.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .channels import Channel
from .decision import Verdict
from .triggers import Trigger

if TYPE_CHECKING:
    from .traces import Trace


@dataclass(frozen=True, slots=True)
class Released:
    """Text that the reader may see now."""

    text: str

    channel: Channel | None
    """`None` for control markup such as `</think>`."""

    end: int
    """Offset after its last character, in the text of the branch that is kept."""


@dataclass(frozen=True, slots=True)
class Retracted:
    """Released text that turned out to belong to a step that is taken out (never with `step`)."""

    text: str

    num_tokens: int
    """How many tokens leaked."""

    end: int
    """Offset at which the text that stays ends."""


@dataclass(frozen=True, slots=True)
class StepJudged:
    """A step has been read, to its end or far enough to act."""

    index: int
    """Position of the step on its branch, over all channels, from 0."""

    channel: Channel
    text: str
    """The step, as far as it had been read."""

    start: int
    """Offset of its first character, in the text of the branch."""

    end: int
    """Offset after the last character that had been read."""

    probability: float | None
    """Of being a compliance cue, as the verdict was reached with: a whole step's is the one at its
    end, unless it was decided inside. `None` where the detector failed or was off."""

    verdict: Verdict
    """What follows from it."""

    complete: bool
    """Whether it had been read to its end."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A step was taken out."""

    text: str
    """The text taken out, including what had been generated beyond the step."""

    num_tokens: int
    """How many tokens that were, the engine's run-ahead included."""

    keep: int
    """Generated tokens that stay."""

    channel: Channel
    """The channel of the step."""


@dataclass(frozen=True, slots=True)
class TriggerInjected:
    """A safety trigger, or at the end of a refused generation the refusal, was put in."""

    text: str
    """With what had to be put back of a token that a step began inside of."""

    num_tokens: int
    """How many tokens that are."""

    trigger: Trigger | None
    """`None` for a refusal."""

    channel: Channel
    """The channel that it was put in."""


@dataclass(frozen=True, slots=True)
class DetectorFailed:
    """The detector raised, or gave something that is no probability."""

    error: str
    """The exception's type and message."""

    verdict: Verdict
    """What follows from it, by `GuardConfig.on_detector_error`."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The generation is over; always the last event."""

    trace: "Trace"
    """Everything that the guard saw and did."""


Event = Released | Retracted | StepJudged | RolledBack | TriggerInjected | DetectorFailed | Finished
"""Whatever a guarded generation tells, in order; `Finished` is the last."""
