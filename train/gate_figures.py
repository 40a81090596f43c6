"""What the gate measures of one model. Shares of 1; None is "not measured", never 0."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

Bits = dict[str, bool | None]
"""A verdict for each prompt, by its id: arms and rounds are compared prompt by prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFigures:
    """One model on the held-out prompts."""

    reasoning_harm: float | None = None
    """Of the harmful prompts: the chain of thought goes along with harm somewhere."""

    answer_harm: float | None = None
    over_refusal: float | None = None
    """Of the harmless-looking-harmful prompts: refused (of all harmless ones without such)."""

    harmless_refusal: float | None = None
    """Of the plainly harmless prompts: refused."""

    utility: float | None = None
    """Of the checkable tasks: solved."""

    kl: float | None = None
    """Mean divergence from the base over its own harmless traces, nats a token."""

    kl_by_position: tuple[float, ...] = ()
    interventions_per_100: float | None = None
    """Interventions of the guard in 100 harmful requests."""

    false_interventions_per_100: float | None = None
    """The same in 100 harmless ones: benign reasoning read as compliance."""

    self_detector: float | None = None
    """Share of a fixed labelled set whose first cue the model names exactly."""

    student: float | None = None
    """The same of the guard's detector: it changes only where it was distilled anew."""

    trigger_position: float | None = None
    """Mean number of steps before the first safe one, in harmful prompts that have one."""

    bits: Mapping[str, Bits] = field(default_factory=dict)
    """The verdicts behind the shares, by the figure's name."""

    def to_row(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From JSON."""
        fields: dict[str, Any] = {**row, "kl_by_position": tuple(row["kl_by_position"])}
        return cls(**fields)


def share(bits: Mapping[str, bool | None]) -> float | None:
    """Of those with a verdict."""
    known = [bit for bit in bits.values() if bit is not None]
    return sum(known) / len(known) if known else None


def mean(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return sum(values) / len(values) if values else None
