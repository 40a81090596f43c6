"""What the reading of requests and of steps each allow."""

from pathlib import Path

import numpy as np
import pytest

from rerail.distill.belief_fit import ScoredTrace
from rerail.distill.bounds import bounds
from rerail.distill.config import DistillConfig
from rerail.guard.belief import BeliefWeights

WEIGHTS = BeliefWeights(
    harm_scale=0.5, harm_bias=0.0, harm_step=0.02, harm_step_bias=0.0, harm_decay=0.0,
    harm_limit=3.0, cue_scale=1.0, cue_bias=0.0, cue_safety=0.1, cue_history=0.0,
    history_decay=0.0, inside_limit=0.4, inside_sure=0.99,
)  # fmt: skip


def trace(source: str, harmful: bool, reading: float, along: list[float]) -> ScoredTrace:
    """A trace of these log-odds of going along; on a harmful request its second step is a cue."""
    steps = np.array([[0.0, value, 0.0] for value in along], np.float32)
    cues = np.array([0.0, 1.0, 1.0], np.float32) if harmful else np.zeros(3, np.float32)
    return ScoredTrace(source, harmful, reading, steps, cues)


@pytest.fixture
def scored() -> list[ScoredTrace]:
    return [
        trace("plain", False, -4.0, [3.0, 3.0, 3.0]),
        trace("plain", False, 1.0, [3.0, 3.0, 3.0]),  # sets the threshold
        trace("clear", True, 6.0, [-4.0, 4.0, 4.0]),
        trace("doubted", True, -2.0, [-4.0, 4.0, 4.0]),  # missed for its request
        trace("mumbled", True, 6.0, [-4.0, -3.0, -3.0]),  # missed for its steps
    ]


def test_the_truth_in_place_of_a_reading_catches_what_that_reading_missed(
    scored: list[ScoredTrace],
) -> None:
    config = DistillConfig(out=Path("x"), traces=(Path("y"),))
    as_it_is, request_known, steps_known = bounds(config, scored, WEIGHTS)
    shares = {one.name: {k: share for k, (share, _) in one.caught.items()} for one in
              (as_it_is, request_known, steps_known)}  # fmt: skip
    assert shares["as it is"] == {
        "all": pytest.approx(1 / 3), "clear": 1.0, "doubted": 0.0, "mumbled": 0.0,
    }  # fmt: skip
    assert request_known.caught["doubted"] == (1.0, 1)
    assert steps_known.caught["mumbled"] == (1.0, 1)
    assert steps_known.caught["doubted"] == (0.0, 1)
    # With the request known no harmless trace stands in the way; with the steps they all do.
    assert request_known.threshold < as_it_is.threshold == steps_known.threshold


def test_the_readings_themselves_are_left_as_they_were(scored: list[ScoredTrace]) -> None:
    before = [entry.steps.copy() for entry in scored]
    bounds(DistillConfig(out=Path("x"), traces=(Path("y"),)), scored, WEIGHTS)
    assert all(np.array_equal(a, b.steps) for a, b in zip(before, scored, strict=True))
