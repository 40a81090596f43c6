"""What finds compliance cues: the protocol, and the thresholds that go with it.

A detector is a pure function over states: reading text gives a new state and leaves the old one as
it was, so a rollback costs nothing more than going on from the state at the step's start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from .channels import Channel

if TYPE_CHECKING:  # commands that only read a store need not load it
    import numpy as np
    import numpy.typing as npt

Message = Mapping[str, Any]
"""One turn as chat templates take it: `role`, `content` (text, a list of parts or `None`), and
possibly `tool_calls`."""

Probabilities: TypeAlias = "npt.NDArray[np.float32]"
"""One calibrated probability a stream, in 0..1."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """When a probability counts as a compliance cue, for one channel."""

    inside: float
    """Inside a step, before it has been read to its end: high, since it acts at once."""

    end: float
    """At the step's end, when all the evidence is in: lower."""

    def __post_init__(self) -> None:
        for name, value in (("inside", self.inside), ("end", self.end)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"threshold {name!r} is {value}: give a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A threshold for every channel."""

    reasoning: Threshold
    answer: Threshold
    tool_call: Threshold
    by_channel: Mapping[Channel, Threshold] = field(init=False, repr=False, compare=False)
    """The same three, by channel."""

    def __post_init__(self) -> None:
        table = {
            Channel.REASONING: self.reasoning,
            Channel.ANSWER: self.answer,
            Channel.TOOL_CALL: self.tool_call,
        }
        object.__setattr__(self, "by_channel", table)

    @classmethod
    def uniform(cls, inside: float, end: float) -> "Thresholds":
        """The same threshold in every channel."""
        threshold = Threshold(inside, end)
        return cls(threshold, threshold, threshold)


class Detector(Protocol):
    """Reads text, never token ids, so one detector serves every tokenizer (DESIGN: Detector).

    Any exception, and any probability that is not a finite number, is turned into a recorded event
    by the caller; a detector never has to hide a failure.
    """

    @property
    def identity(self) -> str:
        """`name@hash` of what decides: stored with every trace."""
        ...

    @property
    def thresholds(self) -> Thresholds:
        """The calibrated defaults."""
        ...

    def start(self, messages: Sequence[Message]) -> Any:
        """Reads the whole conversation up to the generation; the state of a fresh stream."""
        ...

    def score(
        self, states: Sequence[Any], texts: Sequence[str], channels: Sequence[Channel]
    ) -> tuple[list[Any], Probabilities]:
        """Each stream reads a bit of text, in whatever chunks it comes.

        Gives, for each of the `n` streams, the next state and the probability (shape `[n]`) that
        the step under way, as far as it has been read, is a compliance cue.
        """
        ...

    def end_step(
        self, states: Sequence[Any], steps: Sequence[str]
    ) -> tuple[list[Any], Probabilities]:
        """Each stream's step is complete; `steps` holds their whole texts.

        Gives the final probability (shape `[n]`) for these steps. A detector of two stages runs
        its second one here, where it costs once a step and not once a token.
        """
        ...


@runtime_checkable
class ReadsWordsAtOnce(Detector, Protocol):
    """A detector whose `score` takes microseconds for a few words: no thread is worth that."""

    reads_words_at_once: bool
    """True; its being there is what tells such a detector."""

    def end_step_at_once(
        self, states: Sequence[Any], steps: Sequence[str]
    ) -> tuple[list[Any], Probabilities] | None:
        """`end_step` where that takes microseconds, too; else `None`."""
        ...


def quick_one(detector: Detector | None) -> ReadsWordsAtOnce | None:
    """The detector, if it reads words at once."""
    if isinstance(detector, ReadsWordsAtOnce) and detector.reads_words_at_once:
        return detector
    return None


@runtime_checkable
class ReadsRequests(Protocol):
    """A detector that judges what is asked for apart from the steps."""

    def request_harm(self, messages: Sequence[Message]) -> float:
        """Probability that the conversation asks for harm, 0..1, before any step."""
        ...
