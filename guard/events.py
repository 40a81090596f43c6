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
    start: int
    end: int

    probability: float | None
    """Of being a compliance cue, as the verdict was reached with: a whole step's is the one at its
    end, unless it was decided inside. `None` where the detector failed or was off."""

    verdict: Verdict

    complete: bool
    """Whether it had been read to its end."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A step was taken out."""

    text: str
    """The text taken out, including what had been generated beyond the step."""

    num_tokens: int

    keep: int
    """Generated tokens that stay."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class TriggerInjected:
    """A safety trigger, or at the end of a refused generation the refusal, was put in."""

    text: str

    num_tokens: int

    trigger: Trigger | None
    """`None` for a refusal."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class DetectorFailed:
    """The detector raised, or gave something that is no probability."""

    error: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Finished:
    """The generation is over; always the last event."""

    trace: "Trace"


Event = Released | Retracted | StepJudged | RolledBack | TriggerInjected | DetectorFailed | Finished
