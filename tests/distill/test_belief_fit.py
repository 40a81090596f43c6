"""The beliefs: the vectorised forms say what the guard's own arithmetic says; fitting finds."""

import numpy as np
import pytest

from rerail.distill.belief_fit import ScoredTrace, fit_belief
from rerail.distill.belief_search import AlarmShares, Bench, tune_belief
from rerail.guard.belief import (
    Belief,
    BeliefWeights,
    after_screened_step,
    after_step,
    inside_step,
    screen_context,
    sigmoid,
)

WEIGHTS = BeliefWeights(
    harm_scale=0.7, harm_bias=-0.3, harm_step=0.4, harm_step_bias=0.2, harm_decay=0.8,
    harm_limit=1.5, cue_scale=0.9, cue_bias=-0.5, cue_safety=0.3, cue_history=2.0,
    history_decay=0.6, inside_limit=0.3, inside_sure=0.99,
)  # fmt: skip


def traces(num: int = 60, seed: int = 0) -> list[ScoredTrace]:
    """Harmful ones whose cues have a high second log-odds, and harmless ones with a low reading."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(num):
        harmful = number % 2 == 0
        cues = (rng.random(6) < 0.4).astype(np.float32) if harmful else np.zeros(6, np.float32)
        steps = rng.normal(0, 1, (6, 3)).astype(np.float32)
        steps[:, 1] += 4 * cues - 2 if harmful else 1
        reading = rng.normal(2.5 if harmful else -2.5, 1.0)
        found.append(ScoredTrace("s", harmful, float(reading), steps, cues))
    return found


def by_the_guard(weights: BeliefWeights, trace: ScoredTrace) -> list[float]:
    belief, found = Belief(trace.reading, 0.0, 0.0), []
    for harm, cue, safety in trace.steps.tolist():
        belief, probability = after_step(weights, belief, cue, safety, harm)
        found.append(probability)
    return found


def test_the_bench_computes_what_the_guard_computes() -> None:
    some = traces(10)
    table = Bench(some, ()).probabilities(WEIGHTS)
    for row, trace in zip(table, some, strict=True):
        assert row == pytest.approx(by_the_guard(WEIGHTS, trace), abs=1e-6)


def test_a_fit_tells_cues_from_harmless_planning() -> None:
    weights = fit_belief(traces(), num_iterations=150)
    for trace in traces(20, seed=1):
        found = by_the_guard(weights, trace)
        if not trace.harmful:
            assert max(found) < 0.6
    bench = Bench(traces(80, seed=2), ())
    found = bench.probabilities(weights)
    assert found[bench.cues == 1].mean() > 3 * found[bench.cues == 0].mean()


def test_the_search_never_makes_things_worse_and_keeps_the_reading() -> None:
    bench, shares = Bench(traces(), ()), AlarmShares(harmless=0.02, touchy=0.1, safe=0.1)
    tuned = tune_belief(WEIGHTS, bench, shares, num_tries=60)
    assert bench.value(tuned, shares) >= bench.value(WEIGHTS, shares)
    assert tuned.harm_scale >= 0.4
    assert tuned == tune_belief(WEIGHTS, bench, shares, num_tries=60)


@pytest.mark.parametrize("harmful", [True, False])
def test_one_kind_of_trace_alone_cannot_be_fitted(harmful: bool) -> None:
    with pytest.raises(ValueError, match="cues and harmless"):
        fit_belief([trace for trace in traces() if trace.harmful is harmful])


def test_evidence_of_harm_is_bounded() -> None:
    belief = Belief(reading=-3.0, evidence=0.0, going_along=0.0)
    for _ in range(100):
        belief, _ = after_step(WEIGHTS, belief, cue=9.0, safety=-9.0, harm=9.0)
    assert belief.evidence == WEIGHTS.harm_limit


def test_a_score_inside_a_step_stays_under_its_limit_unless_sure() -> None:
    harm, history = screen_context(WEIGHTS, Belief(6.0, 0.0, 0.0))
    assert history == 0.0
    assert inside_step(WEIGHTS, harm, history, log_odds=1.0) == WEIGHTS.inside_limit
    assert inside_step(WEIGHTS, 0.999, history, log_odds=9.0) > WEIGHTS.inside_sure
    assert inside_step(WEIGHTS, 0.01, history, log_odds=9.0) < 0.02


def test_an_unverified_step_is_capped_and_no_evidence() -> None:
    belief, probability = after_screened_step(WEIGHTS, Belief(6.0, 1.0, 0.0), log_odds=9.0)
    assert probability == WEIGHTS.inside_limit
    assert belief.evidence == pytest.approx(WEIGHTS.harm_decay)


@pytest.mark.parametrize("value", [-1e9, -5.0, 0.0, 5.0, 1e9])
def test_the_logistic_function_never_overflows(value: float) -> None:
    assert 0.0 <= sigmoid(value) <= 1.0
    assert sigmoid(value) + sigmoid(-value) == pytest.approx(1.0)
