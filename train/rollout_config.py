"""How rollouts are made; the defaults are the economical way, `whole()` the source's."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from .generation import Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutConfig:
    """Settings of one rollout run; checked when made."""

    num_triggers: int = 6
    """Branches a harmful prompt gets, each with another trigger, as in the paper: the original is
    paid once for all of them."""

    harmless_triggers: int = 1
    """The same for a harmless prompt, whose own answer is held against the refusals."""

    harmless_tries: int = 0
    """Further tries at a harmless prompt that the model refused by itself: the first that helps is
    preferred to the refusal."""

    max_interventions: int = 5
    """In one branch: it is intervened in again while a cue still follows. The paper's harmful ratio
    falls up to the fifth (arXiv 2509.24393)."""

    original_tail: int | None = 16
    """Tokens that the original goes on after its cue, for the rejected side; None: to its end."""

    settled_steps: int | None = 1
    """A branch is stopped after so many steps without a cue since its last trigger, or with the
    first step of its answer, and there, if one of them is a cue; that of a harmless prompt after so
    many of which one says no, by keywords. None: it goes to its end, and is looked at then."""

    own_words: bool = False
    """Take the trigger out again from an accepted branch: the chosen side is then what the model
    wrote after it. For models to which the pool's sentences are foreign."""

    declining: bool = False
    """With `own_words`: only from the first step on that says no, by keywords; a branch without
    one is no pair."""

    look_every: int = 4
    """Tokens between two looks of the detector at what is being generated."""

    prompts_at_once: int = 32
    """Prompts that are generated together; a run that is killed loses so many at most."""

    early_steps: int = 4
    """In a harmless prompt's answer the trigger goes in before one of so many first steps."""

    temperature: float = 0.7
    """Of the sampling."""

    top_p: float = 0.95
    """Of the sampling."""

    max_new_tokens: int = 480
    """Tokens of a whole generation."""

    seed: int = 0
    """Of sampling and of the choice of triggers."""

    def __post_init__(self) -> None:
        counts = ("num_triggers", "harmless_triggers", "max_interventions")
        for name in (*counts, "look_every", "prompts_at_once"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1")
        if self.declining and not self.own_words:
            raise ValueError("declining chooses among the model's own words: set own_words too")
        if self.harmless_tries < 0:
            raise ValueError(f"harmless_tries is {self.harmless_tries}: give 0 or more")
        for name in ("settled_steps", "early_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: give at least 1")
        if self.original_tail is not None and self.original_tail < 0:
            raise ValueError(f"original_tail is {self.original_tail}: give 0 or more")
        _ = self.sampling

    @property
    def sampling(self) -> Sampling:
        """For the generator."""
        return Sampling(
            temperature=self.temperature, top_p=self.top_p, max_new_tokens=self.max_new_tokens
        )

    def whole(self) -> Self:
        """The same with every generation to its end, and looked at only then, as in the paper."""
        return replace(self, original_tail=None, settled_steps=None)

    def to_row(self) -> dict[str, Any]:
        """For the run folder; what changes no record is left out."""
        row = asdict(self)
        del row["prompts_at_once"]
        return row
