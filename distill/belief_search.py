"""Tunes the beliefs' weights for what a guard is judged by, on held-out traces.

The likelihood fit (`belief_fit`) is good at every step alike; a guard needs the first cue, in time,
at a threshold that leaves harmless traces alone. So the fitted weights are moved, by seeded random
steps, towards more traces caught in time under the false-alarm limits.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from ..guard.belief import BeliefWeights
from ..guard.step_encoder import CUE, HARM, SAFETY
from .belief_fit import ScoredTrace

_Array = npt.NDArray[np.float64]

_RANGES: dict[str, tuple[float, float]] = {
    "harm_scale": (0.3, 0.8),
    "harm_bias": (-4.0, 0.0),
    "harm_step": (0.02, 1.0),
    "harm_step_bias": (-2.0, 2.0),
    "harm_decay": (0.0, 0.98),
    "cue_scale": (0.3, 1.0),
    "cue_bias": (-4.0, 0.0),
    "cue_safety": (0.02, 1.0),
    "cue_history": (0.0, 8.0),
    "history_decay": (0.0, 0.98),
}
"""What is tuned, and in which range. The reading of the request always counts: on few held-out
traces a search can do without it, and then leans on how written traces sound, which is what does
not carry over to other models. Scales and biases are bounded above, so that the product does not
crowd against 1, where no threshold can be told from the next."""


_NUM_SEARCHES = 4


@dataclass(frozen=True, slots=True)
class AlarmShares:
    """Shares of traces that may be interrupted, by kind. Each source apart is a kind of its own,
    with the share of ordinary harmless ones and with a threshold of its own."""

    harmless: float
    touchy: float
    safe: float


class Bench:
    """The held-out traces as arrays, ready to be scored with any weights; `touchy` and `apart` are
    sources, see `DistillConfig`."""

    def __init__(
        self, traces: Sequence[ScoredTrace], touchy: Sequence[str], apart: Sequence[str] = ()
    ) -> None:
        longest = max(len(trace.steps) for trace in traces)
        self.reading = np.array([trace.reading for trace in traces])
        self.steps = np.zeros((len(traces), longest, 3))
        self.real = np.zeros((len(traces), longest), dtype=bool)
        self.cues = np.full((len(traces), longest), np.nan)
        self.first = np.full(len(traces), -1)
        kinds: list[str] = []
        for row, trace in enumerate(traces):
            num = len(trace.steps)
            self.steps[row, :num] = trace.steps
            self.real[row, :num] = True
            if trace.harmful and trace.cues is not None:
                self.cues[row, : len(trace.cues)] = trace.cues
                if trace.cues.any():
                    self.first[row] = int(np.argmax(trace.cues))
            if not trace.harmful:
                kind = "touchy" if trace.source in touchy else "harmless"
                kinds.append(trace.source if trace.source in apart else kind)
            else:
                kinds.append("safe" if trace.cues is None else "labelled")
        self.kinds = np.array(kinds)
        self.apart = apart
        self.sources = np.array([trace.source for trace in traces])

    def probabilities(self, w: BeliefWeights) -> _Array:
        """`guard.belief` over all traces at once, `[traces, steps]`; 0 where there is no step."""
        evidence = np.zeros(len(self.reading))
        history = np.zeros(len(self.reading))
        found = np.zeros(self.real.shape)
        for index in range(self.real.shape[1]):
            step = self.steps[:, index]
            evidence = w.harm_decay * evidence + w.harm_step * (step[:, HARM] - w.harm_step_bias)
            evidence = np.clip(evidence, -w.harm_limit, w.harm_limit)
            along = _sigmoid(
                w.cue_scale * step[:, CUE]
                + w.cue_bias
                - w.cue_safety * step[:, SAFETY]
                + w.cue_history * history
            )
            history = w.history_decay * history + (1 - w.history_decay) * along
            found[:, index] = along * _sigmoid(w.harm_scale * self.reading + w.harm_bias + evidence)
        return np.where(self.real, found, 0.0)

    def threshold(self, found: _Array, shares: AlarmShares) -> float:
        """The lowest threshold that keeps the shares, smoothed between neighbouring traces."""
        return self._general(found.max(axis=1), shares)

    def _general(self, highest: _Array, shares: AlarmShares) -> float:
        wanted = {kind: getattr(shares, kind) for kind in ("harmless", "touchy", "safe")}
        return max(self._limit(highest, kind, share) for kind, share in wanted.items())

    def _limit(self, highest: _Array, kind: str, share: float) -> float:
        """For one kind, from the highest probability of every trace, `[traces]`."""
        of_kind = highest[self.kinds == kind]
        lowest = max(0.02, float(np.quantile(of_kind, 1.0 - share))) if len(of_kind) else 0.02
        return lowest + 1e-6

    def value(self, w: BeliefWeights, shares: AlarmShares) -> float:
        """What is made large: caught in time, within one step, AUROC. A source weighs as the root
        of its traces' number: a handful of traces must not decide, nor a large file drown others.

        Of a source apart only what is caught at or before the first cue counts: a live guard takes
        out the step that it acts on, and a cue before that stays.
        """
        found = self.probabilities(w)
        highest = found.max(axis=1)
        general = self._general(highest, shares)
        parts: list[float] = []
        weights: list[float] = []
        for source in np.unique(self.sources[self.first >= 0]):
            rows = (self.sources == source) & (self.first >= 0)
            apart = source in self.apart
            limit = self._limit(highest, source, shares.harmless) if apart else general
            fired = found[rows] >= limit
            acted = np.where(fired.any(axis=1), fired.argmax(axis=1), 10_000)
            distance = acted - self.first[rows]
            in_time = float((distance <= (0 if apart else 1)).mean())
            within = float((np.abs(distance) <= 1).mean())
            parts.append(in_time + 0.4 * within)
            weights.append(math.sqrt(float(rows.sum())))
        known = ~np.isnan(self.cues)
        area = roc_auc_score(self.cues[known], found[known])
        return float(np.average(parts, weights=weights)) + 2.0 * float(area)


def tune_belief(
    weights: BeliefWeights, bench: Bench, shares: AlarmShares, *, num_tries: int = 1500
) -> BeliefWeights:
    """The best weights of several seeded random searches from `weights`, as they are if no trace
    has a cue.

    One search in so many dimensions ends where it happens to; each has `num_tries` tries, whose
    steps shrink as it goes on.
    """
    if not (bench.first >= 0).any():
        return weights
    inside = {
        name: min(max(getattr(weights, name), low), high) for name, (low, high) in _RANGES.items()
    }
    start = replace(weights, **inside)
    found = [
        _searched(bench, start, shares, num_tries, random.Random(number))
        for number in range(_NUM_SEARCHES)
    ]
    return max(found, key=lambda pair: pair[0])[1]


def _searched(
    bench: Bench, start: BeliefWeights, shares: AlarmShares, num_tries: int, rng: random.Random
) -> tuple[float, BeliefWeights]:
    best, best_value = start, bench.value(start, shares)
    for number in range(num_tries):
        size = 0.5 * (1.0 - number / num_tries) + 0.02
        tried = _moved(best, rng, size)
        value = bench.value(tried, shares)
        if value > best_value:
            best, best_value = tried, value
    return best_value, best


def _moved(w: BeliefWeights, rng: random.Random, size: float) -> BeliefWeights:
    """Two or three of the weights moved a little, inside the ranges in which they make sense."""
    changes: dict[str, float] = {}
    for name in rng.sample(sorted(_RANGES), rng.choice((1, 2, 3))):
        low, high = _RANGES[name]
        moved = getattr(w, name) + rng.gauss(0.0, 0.6 * size * (high - low))
        changes[name] = min(max(moved, low), high)
    return replace(w, **changes)


def _sigmoid(values: _Array) -> _Array:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0)))
