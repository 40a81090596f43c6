"""Figures with intervals, paired tests and agreement. Pure.

Samples of one prompt are no independent observations, so intervals are bootstrapped over prompts.
A share of nothing is None, never 0.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

NUM_DRAWS = 1000
"""Bootstrap samples behind each interval."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean with its 95 % bootstrap interval over groups (prompts)."""

    FORMAT: ClassVar[str] = ".1%"

    value: float | None
    low: float | None
    high: float | None
    num: int
    """Observations that it stands on; those without a verdict are left out."""

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "–"
        value, low, high = (format(x, self.FORMAT) for x in (self.value, self.low, self.high))
        return f"{value} ({low}–{high}, n={self.num})"

    @property
    def short(self) -> str:
        """The value alone."""
        return "–" if self.value is None else format(self.value, self.FORMAT)

    def to_row(self) -> dict[str, float | int | None]:
        """As JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "num": self.num}


def share(observed: Sequence[tuple[Hashable, float | bool | None]], *, seed: int = 0) -> Figure:
    """The mean of (group, value) pairs; None values are not observed."""
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for group, value in observed:
        if value is not None:
            groups[group].append(float(value))
    if not groups:
        return Figure(None, None, None, 0)
    sums = np.array([sum(values) for values in groups.values()])
    counts = np.array([len(values) for values in groups.values()])
    drawn = _draws(len(groups), seed)
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Figure(float(sums.sum() / counts.sum()), float(low), float(high), int(counts.sum()))


class Mean(Figure):
    """A mean that is no share."""

    __slots__ = ()
    FORMAT = ".1f"


def mean(observed: Sequence[tuple[Hashable, float | None]], *, seed: int = 0) -> Mean:
    """As `share`, of numbers of any size."""
    figure = share(observed, seed=seed)
    return Mean(figure.value, figure.low, figure.high, figure.num)


class Ratio(Figure):
    """The sum of one value over the sum of another, with its 95 % bootstrap interval over groups;
    `num` counts the observations."""

    __slots__ = ()
    FORMAT = ".2f"


def ratio(observed: Sequence[tuple[Hashable, float, float]], *, seed: int = 0) -> Ratio:
    """The second over the first of (group, first, second); None where all the firsts are 0.

    Drawn samples without any first have no ratio, and are left out of the interval.
    """
    groups: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
    for group, first, second in observed:
        groups[group].append((first, second))
    sums = np.array([np.sum(values, axis=0) for values in groups.values()]).reshape(-1, 2)
    total = sums.sum(0)
    if not total[0]:
        return Ratio(None, None, None, len(observed))
    firsts, seconds = sums[_draws(len(groups), seed)].sum(1).T
    low, high = np.quantile(seconds[firsts > 0] / firsts[firsts > 0], [0.025, 0.975])
    return Ratio(float(total[1] / total[0]), float(low), float(high), len(observed))


@dataclass(frozen=True, slots=True)
class Difference:
    """An arm against another on the same prompts and seeds."""

    value: float | None
    """Mean difference, with its 95 % bootstrap interval over prompts."""

    low: float | None
    high: float | None
    p_value: float | None
    """McNemar's exact test (two-sided binomial over the pairs that differ)."""

    num_pairs: int

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "–"
        p = "" if self.p_value is None else f", p={self.p_value:.2g}"
        return f"{100 * self.value:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f}{p})"

    def to_row(self) -> dict[str, float | int | None]:
        """As JSON."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "p_value": self.p_value,
            "num_pairs": self.num_pairs,
        }


Observations = Mapping[tuple[str, int], bool | None]
"""By prompt and sample number."""


def paired(arm: Observations, base: Observations, *, seed: int = 0) -> Difference:
    """Compares two arms on what both have observed."""
    keys = [key for key, value in arm.items() if value is not None and base.get(key) is not None]
    if not keys:
        return Difference(None, None, None, None, 0)
    by_prompt: dict[Hashable, list[int]] = defaultdict(list)
    for key in keys:
        by_prompt[key[0]].append(int(bool(arm[key])) - int(bool(base[key])))
    sums = np.array([sum(values) for values in by_prompt.values()])
    counts = np.array([len(values) for values in by_prompt.values()])
    drawn = _draws(len(by_prompt), seed)
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    more = sum(value == 1 for values in by_prompt.values() for value in values)
    less = sum(value == -1 for values in by_prompt.values() for value in values)
    return Difference(
        float(sums.sum() / counts.sum()), float(low), float(high), mcnemar(more, less), len(keys)
    )


def mcnemar(more: int, less: int) -> float:
    """The exact two-sided p-value that pairs which differ fall either way alike."""
    num = more + less
    if not num:
        return 1.0
    tail = sum(math.comb(num, k) for k in range(min(more, less) + 1)) / 2**num
    return min(1.0, 2 * tail)


def kappa(first: Sequence[bool | None], second: Sequence[bool | None]) -> float | None:
    """Cohen's κ over what both judged; None without any, or where both always say the same."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if not pairs:
        return None
    agreed = sum(a == b for a, b in pairs) / len(pairs)
    share_a = sum(a for a, _ in pairs) / len(pairs)
    share_b = sum(b for _, b in pairs) / len(pairs)
    by_chance = share_a * share_b + (1 - share_a) * (1 - share_b)
    return None if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)


class Correlation(Figure):
    """Pearson's r with its 95 % bootstrap interval over pairs."""

    __slots__ = ()
    FORMAT = ".3f"


def pearson(pairs: Sequence[tuple[float, float]], *, seed: int = 0) -> Correlation:
    """The correlation of pairs; None where there are fewer than three or one side is constant."""
    data = np.array(pairs, dtype=float)
    if len(pairs) < 3 or not data.std(0).all():
        return Correlation(None, None, None, len(pairs))
    value = float(np.corrcoef(data.T)[0, 1])
    found = [
        float(np.corrcoef(data[rows].T)[0, 1])
        for rows in _draws(len(pairs), seed)
        if data[rows].std(0).all()
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return Correlation(value, float(low), float(high), len(pairs))


def _draws(num: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, num, (NUM_DRAWS, num))
