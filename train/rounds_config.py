"""What a run of rounds is told; sandbox_settings.py has what suits the embedded model."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, Self

from .gate import GateLimits
from .preference_config import PreferenceConfig
from .rollout_config import RolloutConfig


class Finder(StrEnum):
    """What finds the first cues in the rollouts."""

    SELF = "self"
    """The model of the round itself: it gets better, or drifts, with the rounds."""
    STUDENT = "student"
    """The guard's detector."""
    EXACT = "exact"
    """The sandbox's judge."""


class JudgeName(StrEnum):
    """Who says what completions did."""

    EXACT = "exact"
    """The sandbox's own: right there, worthless elsewhere."""
    STUDENT = "student"
    """The guard's detector for reasoning, keywords for refusals, expected answers for tasks."""


class Promotion(StrEnum):
    """What the next round begins with."""

    MERGE = "merge"
    """A model with the adapter merged in; the next adapter is a new one."""
    STACK = "stack"
    """The first base for good and one adapter that every round goes on training: small files, and
    an engine that serves adapters can load it while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundsConfig:
    """A run of rounds."""

    model: str = "sandbox"
    """The first round's model: a folder, a hub name, or `sandbox`."""

    prompts: str = "sandbox:train"
    """Prompts to roll out: a file, a hub data set, or `sandbox:train`."""

    gate_prompts: str | None = None
    """Held-out prompts for the gate. By default the sandbox's test topics, or a fifth of `prompts`
    that is then kept from training."""

    rounds: int = 3
    """Rounds to run at most."""

    detector: Finder = Finder.SELF
    """What finds the first cues in the rollouts."""

    round_judge: JudgeName | None = None
    """Who has to agree before a pair counts; by default nobody: the loop is closed by the detector
    alone."""

    gate_judge: JudgeName | None = None
    """Who judges in the gate; by default the exact judge for sandbox prompts, else the guard's
    detector, keywords for refusals and the expected answers."""

    promotion: Promotion = Promotion.MERGE
    """What the next round begins with."""

    num_harmful: int = 256
    """Harmful prompts a round."""

    num_harmless: int = 256
    """Harmless and harmless-looking-harmful prompts a round, for the pairs that keep the model
    helpful (stage 2)."""

    harmless_ratio: float = 1.0
    """Stage-2 pairs for each stage-1 pair, at most."""

    num_gate: int = 100
    """Held-out prompts of each kind."""

    num_labelled: int = 90
    """Labelled traces on which the detectors' drift is measured (sandbox)."""

    redistil: bool = False
    """Distil the guard's detector anew from the traces of each promoted round; it is swapped in
    only if it does no worse on the gate's prompts."""

    encoder: str | None = None
    """The sentence encoder to distil with, see `rerail distill`."""

    seed: int = 0
    """Of everything that is drawn."""

    batch_size: int = 64
    """Generations at once."""

    self_detection: Literal["likelihood", "asked"] = "likelihood"
    """How the model is asked where its own first cue is."""

    self_threshold: float = 0.5
    """Share of yes from which a step counts as a cue (`likelihood`)."""

    rollouts: RolloutConfig = field(default_factory=RolloutConfig)
    training: PreferenceConfig = field(default_factory=PreferenceConfig)
    limits: GateLimits = field(default_factory=GateLimits)

    def __post_init__(self) -> None:
        for name in ("rounds", "num_gate", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1")
        for name in ("num_harmful", "num_harmless", "num_labelled", "harmless_ratio"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or more")
        if not 0 < self.self_threshold < 1:
            raise ValueError(f"self_threshold is {self.self_threshold}: give one between 0 and 1")
        if self.on_sandbox_world:
            return
        if JudgeName.EXACT in (self.round_judge, self.gate_judge) or self.detector is Finder.EXACT:
            raise ValueError("the exact judge reads the sandbox's world only: name another")

    @property
    def on_sandbox_world(self) -> bool:
        """Whether the prompts are the sandbox's."""
        return self.prompts.partition(":")[0] == "sandbox"

    def quick(self) -> Self:
        """The same with a small budget."""
        return replace(
            self,
            rounds=1,
            num_harmful=min(self.num_harmful, 64),
            num_harmless=min(self.num_harmless, 192),
            num_gate=50,
            num_labelled=45,
        )

    def as_record(self) -> dict[str, Any]:
        """As JSON keeps it; the number of rounds may grow later on."""
        from dataclasses import asdict

        record: dict[str, Any] = asdict(self)
        del record["rounds"], record["batch_size"]
        return _plain(record)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return str(value) if isinstance(value, StrEnum) else value
