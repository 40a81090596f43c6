"""Where a trace's continuation safety ratio settles, found with few positions measured. Pure.

The turning point is the first token from which the ratio stays at most 0.1 (or at least 0.9) over
the whole window (arXiv 2509.24393). Only the neighbourhood of a candidate is looked at closely: a
few positions far apart would often all be low by chance, and a trace would count as settled tokens
before it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .csr_config import CsrConfig


@dataclass(frozen=True, slots=True)
class TurningPoint:
    """A settled ratio."""

    position: int
    """Tokens of the reasoning before it."""

    safe: bool


@dataclass(slots=True)
class TurningSearch:
    """Says which positions of one trace are to be measured next, until its ratio has settled."""

    config: CsrConfig
    num_tokens: int
    """Of the reasoning: positions beyond it are not looked at."""

    ratios: dict[int, float] = field(default_factory=dict)
    """What has been measured, by position."""

    found: TurningPoint | None = None
    _wanted: list[int] = field(default_factory=lambda: [0])
    _reached: int = 0
    """The last position of the wide steps."""

    @property
    def wanted(self) -> list[int]:
        """Positions to measure now; none when the search is over."""
        return self._wanted

    def add(self, ratios: Mapping[int, float]) -> None:
        """Takes the ratios of all wanted positions."""
        assert set(ratios) == set(self._wanted)
        self.ratios.update(ratios)
        start = self._candidate()
        near = () if start is None else self._near(start)
        missing = [each for each in near if each not in self.ratios]
        if missing:
            self._wanted = missing
            return
        self.found = None if start is None else turning_point(self.ratios, near, self.config)
        self._reached += self.config.stride
        over = self.found is not None or self._reached > self.num_tokens
        self._wanted = [] if over else [self._reached]

    def _candidate(self) -> int | None:
        """Where the wide steps up to the last one have been on one side for a window."""
        stride, window = self.config.stride, self.config.window
        start = self._reached - -(-window // stride) * stride
        places = range(start, self._reached + 1, stride)
        if start < 0:
            return None
        sides = {self.config.side(self.ratios[each]) for each in places}
        return start if len(sides) == 1 and None not in sides else None

    def _near(self, start: int) -> list[int]:
        """Positions from the wide step before the candidate to the end of its window."""
        first = max(0, start - self.config.stride + 1)
        fine = range(start, first - 1, -self.config.resolution)
        after = range(start, self._reached, self.config.resolution)
        return sorted({*fine, *after, self._reached})


def turning_point(
    ratios: Mapping[int, float], positions: Iterable[int], config: CsrConfig
) -> TurningPoint | None:
    """The first of the positions from which the ratio is on one side over a whole window."""
    places = sorted(positions)
    for start in places:
        end = start + config.window
        inside = [each for each in places if start <= each <= end]
        beyond = places[-1] >= end
        sides = {config.side(ratios[each]) for each in inside}
        if beyond and len(sides) == 1 and (side := sides.pop()) is not None:
            return TurningPoint(start, side)
    return None
