"""How suspicious the open step is: what the detector has said of it so far, and what follows."""

from collections.abc import Callable

from .channels import Channel
from .config import GuardConfig
from .decision import Verdict, decide
from .detector import Thresholds
from .steps import Piece


class Suspicion:
    """Gathers the probabilities of one step after another, and has `decide` decide on them."""

    __slots__ = ("_audited", "_config", "_highest", "_inside", "_interventions_left", "_thresholds")

    def __init__(
        self,
        config: GuardConfig,
        thresholds: Thresholds,
        interventions_left: Callable[[Channel], int],
    ) -> None:
        self._config = config
        self._thresholds = thresholds.by_channel
        self._inside = {channel: each.inside for channel, each in self._thresholds.items()}
        self._interventions_left = interventions_left
        self._audited = False
        self._highest: float | None = None  # of the open step's probabilities

    def read(self, probability: float, piece: Piece) -> Verdict:
        """The verdict when `piece` has been read: `HOLD`, or what to do before the step has ended.

        `HOLD` too for a cue that is only recorded, and where the step ends with the piece: it is
        judged whole.
        """
        if self._highest is None or probability > self._highest:
            self._highest = probability
        assert piece.channel is not None
        if probability < self._inside[piece.channel] or self._audited or piece.step is not None:
            return Verdict.HOLD
        verdict = self._decide(probability, piece.channel, at_step_end=False)
        if verdict is Verdict.AUDIT:
            self._audited = True
            return Verdict.HOLD
        return verdict

    def end(self, probability: float, channel: Channel) -> tuple[Verdict, float]:
        """The verdict on the whole step, and the probability that decided it."""
        highest = probability if self._highest is None else max(self._highest, probability)
        if self._audited:
            return Verdict.AUDIT, highest
        verdict = self._decide(probability, channel, at_step_end=True)
        if verdict is Verdict.RELEASE and highest >= self._inside[channel]:
            return self._decide(highest, channel, at_step_end=False), highest
        return verdict, probability

    def clear(self) -> None:
        """The step is over; the next one begins without suspicion."""
        self._audited = False
        self._highest = None

    def _decide(self, probability: float, channel: Channel, *, at_step_end: bool) -> Verdict:
        return decide(
            probability,
            at_step_end=at_step_end,
            threshold=self._thresholds[channel],
            policy=self._config.policy,
            when_spent=self._config.when_spent,
            interventions_left=self._interventions_left(channel),
        )
