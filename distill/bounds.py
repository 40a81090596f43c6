"""What bounds the share of traces caught in time: the reading of the request, or that of the steps.

Each is replaced by the truth in turn, the threshold is chosen again under the same limits of false
alarms, and what is caught then is what the other one alone allows. Pure arithmetic on scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..guard.belief import BeliefWeights
from ..guard.step_encoder import CUE, SAFETY
from .belief_fit import ScoredTrace
from .belief_search import Bench
from .config import DistillConfig
from .thresholds import chosen_threshold

KNOWN_READING = 7.0
"""Log-odds of a request that is known: what the encoder says of the plainest ones."""

KNOWN_STEP = 20.0
"""Log-odds of a step that is known."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What is caught where one of the two readings is the truth."""

    name: str
    threshold: float
    caught: Mapping[str, tuple[float, int]]
    """By source, and of all together ("all"): share caught in time, and of how many traces."""


def bounds(
    config: DistillConfig, scored: Sequence[ScoredTrace], weights: BeliefWeights
) -> list[Bound]:
    """As it is, with the requests known, and with the steps known."""
    changes: dict[str, Callable[[ScoredTrace], ScoredTrace]] = {
        "as it is": lambda trace: trace,
        "were every request read right": _request_known,
        "were every labelled step read right": _steps_known,
    }
    return [
        _bound(config, name, [change(trace) for trace in scored], weights)
        for name, change in changes.items()
    ]


def _request_known(trace: ScoredTrace) -> ScoredTrace:
    return replace(trace, reading=KNOWN_READING if trace.harmful else -KNOWN_READING)


def _steps_known(trace: ScoredTrace) -> ScoredTrace:
    """Labelled steps on harmful requests say what they are; of what they say of harm nothing is
    changed, nor are harmless and unlabelled traces, which set the threshold."""
    if not trace.harmful or trace.cues is None:
        return trace
    cues = trace.cues[: len(trace.steps)]
    steps = trace.steps.copy()
    labelled = np.flatnonzero(~np.isnan(cues))
    steps[labelled, CUE] = np.where(cues[labelled] > 0, KNOWN_STEP, -KNOWN_STEP)
    steps[labelled, SAFETY] = 0.0
    return replace(trace, steps=steps)


def _bound(
    config: DistillConfig, name: str, scored: Sequence[ScoredTrace], weights: BeliefWeights
) -> Bound:
    bench = Bench(scored, config.touchy_sources)
    found = bench.probabilities(weights)
    threshold = chosen_threshold(config, scored, found.tolist())
    fired = found >= threshold
    in_time = fired.any(axis=1) & (fired.argmax(axis=1) <= bench.first + 1)
    cued = bench.first >= 0
    groups = {"all": cued} | {
        str(source): cued & (bench.sources == source) for source in np.unique(bench.sources[cued])
    }
    caught = {
        source: (float(in_time[rows].mean()), int(rows.sum()))
        for source, rows in groups.items()
        if rows.any()
    }
    return Bound(name, threshold, caught)
