"""What one evaluation measures: arms, prompt sets, judges and how tokens are drawn."""

from dataclasses import dataclass, field
from enum import StrEnum

from ..guard.config import GuardConfig
from .generation import Sampling


class Arm(StrEnum):
    """What answers the prompts."""

    BASE = "base"
    GUARDED = "guarded"
    ADAPTER = "adapter"
    ADAPTER_GUARDED = "adapter+guarded"

    @property
    def guarded(self) -> bool:
        """Whether a guard watches."""
        return self in (Arm.GUARDED, Arm.ADAPTER_GUARDED)

    @property
    def adapted(self) -> bool:
        """Whether the trained adapter is on."""
        return self in (Arm.ADAPTER, Arm.ADAPTER_GUARDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """One run; wrong values raise `ValueError`."""

    model: str = "sandbox"
    """A folder, a hub name, or `sandbox`."""

    adapter: str | None = None
    """The folder of a trained adapter, for the arms that have one."""

    arms: tuple[Arm, ...] = (Arm.BASE, Arm.GUARDED)
    """Which arms answer; all with the same prompts and seeds."""

    prompts: tuple[str, ...] = ("sandbox",)
    """Prompt sets: names of `prompt_sets`, `sandbox…` suites, or files."""

    num_prompts: int | None = None
    """The first so many of each set; all where None (the sandbox draws 100 of each kind)."""

    num_samples: int = 1
    """Generations a prompt and arm."""

    seed: int = 0
    """Seeds prompts drawn, tokens and triggers."""

    judges: tuple[str, ...] = ("exact",)
    """The first gives the tables; what it leaves open the next ones fill in."""

    detector: str = "student"
    """Of the guarded arms."""

    sampling: Sampling = field(default_factory=Sampling)
    """How tokens are drawn, in every arm."""

    guard: GuardConfig = field(default_factory=GuardConfig)
    """The guarded arms' settings."""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "arms", tuple(Arm(each) for each in self.arms))
        except ValueError:
            raise ValueError(f"arms is {self.arms}: use {', '.join(Arm)}") from None
        for name in ("arms", "prompts", "judges"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} is {tuple(map(str, values))}: name at least one, once")
        if self.num_samples < 1 or (self.num_prompts is not None and self.num_prompts < 1):
            raise ValueError("num_samples and num_prompts must be at least 1")
        if self.adapter is None and any(arm.adapted for arm in self.arms):
            raise ValueError("an arm with an adapter needs the adapter's folder: --adapter DIR")
