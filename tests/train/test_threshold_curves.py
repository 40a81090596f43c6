"""Thresholds read off known scores."""

import json
from pathlib import Path

import pytest

from rerail.distill.labels import Label, LabelledTrace
from rerail.distill.replay import ReplayedTrace
from rerail.train.threshold_curves import hold_costs, points, recommended, write_thresholds

STEPS = ("x" * 50, "x" * 100, "x" * 25)


def _replayed(number: int, labels: str | None, ends: tuple[float, ...]) -> ReplayedTrace:
    letters = None if labels is None else tuple(Label(each) for each in labels)
    harmful = labels is None or set(labels) != {"N"}
    trace = LabelledTrace(str(number), "?", harmful, "t", "v", STEPS, letters)
    return ReplayedTrace(trace, ends, ends, None, None)


TRACES = [
    _replayed(0, "NCN", (0.1, 0.8, 0.1)),
    _replayed(1, "NNC", (0.1, 0.2, 0.6)),
    _replayed(2, "NNN", (0.1, 0.3, 0.2)),
    _replayed(3, "NNN", (0.1, 0.7, 0.2)),
]


def test_false_alarms_against_misses() -> None:
    by_threshold = {each.threshold: each for each in points(TRACES)}
    middle = by_threshold[0.5]
    assert (middle.false_alarm.value, middle.missed.value) == (0.5, 0.0)
    assert (middle.step_recall, middle.step_precision) == (1.0, 2 / 3)
    assert middle.step_false_alarm == pytest.approx(1 / 10)
    high = by_threshold[0.75]
    assert (high.false_alarm.value, high.missed.value) == (0.0, 0.5)
    assert high.flagged.value == 0.25


def test_the_recommendation_misses_least_within_the_rate() -> None:
    found = points(TRACES)
    assert recommended(found, 0.0).threshold == 0.8
    assert recommended(found, 0.5).threshold == 0.6
    with pytest.raises(ValueError, match="harmless request"):
        recommended(points(TRACES[:2]), 0.1)
    with pytest.raises(ValueError, match="no threshold keeps"):
        recommended(points([_replayed(0, "NNN", (1.0, 1.0, 1.0))]), 0.1)


def test_waiting_against_leaking() -> None:
    costs = {each.hold: each for each in hold_costs(TRACES[:1], 0.5)}
    assert (costs["step"].wait_tokens, costs["step"].leaked_tokens) == (20, 0)
    assert (costs["8"].wait_tokens, costs["8"].leaked_tokens) == (8, 12)
    assert (costs["none"].wait_tokens, costs["none"].leaked_tokens) == (0, 20)
    assert hold_costs(TRACES[2:3], 0.5)[0].leaked_tokens is None


def test_files_and_what_is_said_without_a_recommendation(tmp_path: Path) -> None:
    record = write_thresholds("d@1", TRACES, tmp_path, 0.0)
    assert record["recommended"]["threshold"] == 0.8
    assert "--threshold 0.8" in (tmp_path / "thresholds.md").read_text()
    for name in ("thresholds", "roc", "precision_recall", "holds"):
        assert (tmp_path / f"{name}.png").exists()
    unlabelled = [_replayed(0, None, (0.2, 0.9, 0.1))]
    record = write_thresholds("d@1", unlabelled, tmp_path / "store", 0.01)
    assert record["recommended"] is None
    assert json.loads((tmp_path / "store" / "thresholds.json").read_text())["why_none"]
