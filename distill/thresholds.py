"""Chooses thresholds on held-out traces for stated shares of false alarms. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .belief_fit import ScoredTrace
from .config import DistillConfig


@dataclass(frozen=True, slots=True)
class AlarmLimit:
    """How many traces of one kind may be interrupted."""

    name: str
    highest: Sequence[float]
    """For each held-out trace of this kind, the highest probability of any of its steps."""

    share: float
    """The share that may be interrupted, 0..1."""


def threshold_for(limits: Sequence[AlarmLimit], *, lowest: float = 0.05) -> float:
    """The lowest threshold that keeps every limit, at least `lowest`.

    A limit of 1 % on fewer than a hundred traces means none of them.
    """
    return max([lowest, *(_threshold(limit) for limit in limits if limit.highest)])


def _threshold(limit: AlarmLimit) -> float:
    ordered = sorted(limit.highest, reverse=True)
    allowed = math.floor(limit.share * len(ordered) + 1e-9)
    if allowed >= len(ordered):
        return 0.0
    # Just above the first trace that must pass.
    return min(1.0, ordered[allowed] + 1e-4)


def chosen_threshold(
    config: DistillConfig,
    scored: Sequence[ScoredTrace],
    probabilities: Sequence[Sequence[float]],
) -> float:
    """The lowest threshold at a step's end that keeps the configuration's false-alarm limits.

    Sources apart have no say: a model that is to have a threshold of its own is calibrated by
    itself (`rerail eval thresholds --write`).
    """
    highest: dict[str, list[float]] = {"harmless": [], "touchy": [], "safe": []}
    shares = {
        "harmless": config.harmless_limit, "touchy": config.touchy_limit, "safe": config.safe_limit
    }  # fmt: skip
    for trace, steps in zip(scored, probabilities, strict=True):
        if trace.source in config.apart_sources:
            continue
        if not trace.harmful:
            kind = "touchy" if trace.source in config.touchy_sources else "harmless"
        elif trace.cues is None:
            kind = "safe"
        else:
            continue
        highest[kind].append(float(max(steps)))
    return threshold_for([AlarmLimit(kind, highest[kind], shares[kind]) for kind in highest])
