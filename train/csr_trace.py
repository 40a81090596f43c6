"""What was measured of one trace, and what many of them say together. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from .evaluation_measures import Correlation, Figure, pearson, share


@dataclass(frozen=True, slots=True)
class CsrTrace:
    """One trace with its ratios. Tokens are counted from the start of the reasoning."""

    id: str
    num_tokens: int
    """Of the reasoning."""

    positions: tuple[int, ...]
    """Where the ratio was measured, in order."""

    ratios: tuple[float, ...]
    unsafe: bool
    """The trace itself: its reasoning or its answer is harmful."""

    turning_point: int | None
    """None where it never settled; 0 where the request alone had settled it."""

    settled_safe: bool | None
    first_cue: int | None
    """Token at which the first cue step begins."""

    first_cue_end: int | None
    first_trigger: int | None
    """Token at which the first safety trigger begins."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From a line of a results file."""
        fields: dict[str, Any] = dict(row)
        for name in ("positions", "ratios"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


def cue_correlation(
    traces: Sequence[CsrTrace], *, at_end: bool = False, turned: bool = False
) -> Correlation:
    """Pearson's r of first cue and unsafe turning point, over traces that have both.

    `at_end` takes the end of the cue step. `turned` leaves out the traces that the request alone
    had settled: nothing in their reasoning turned them.
    """
    pairs = [
        (float(cue), float(each.turning_point))
        for each in traces
        if each.turning_point is not None
        and each.settled_safe is False
        and not (turned and each.turning_point == 0)
        and (cue := each.first_cue_end if at_end else each.first_cue) is not None
    ]
    return pearson(pairs)


def trigger_share(traces: Sequence[CsrTrace]) -> Figure:
    """Of the safe traces, those that hold a safety trigger."""
    safe = [each for each in traces if not each.unsafe]
    return share([(each.id, each.first_trigger is not None) for each in safe])


def mean_curve(traces: Sequence[CsrTrace], positions: Sequence[int]) -> list[float]:
    """The mean ratio at each position; a trace that has settled keeps its last value."""
    curve = []
    for position in positions:
        values = []
        for each in traces:
            earlier = [
                ratio
                for place, ratio in zip(each.positions, each.ratios, strict=True)
                if place <= position
            ]
            if earlier:
                values.append(earlier[-1])
        curve.append(sum(values) / len(values) if values else float("nan"))
    return curve
