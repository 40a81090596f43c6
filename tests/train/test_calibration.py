"""Thresholds for one model: what its harmless traces set, and what its safe ones set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from rerail.distill.labels import Label, LabelledTrace
from rerail.distill.replay import ReplayedTrace
from rerail.guard.channels import Channel
from rerail.guard.detector import Message, Thresholds
from rerail.train.calibration import LOWEST_LEVEL, calibrated


@dataclass
class StepsOnly:
    """Stands for a detector of steps; nothing is replayed here."""

    identity: str = "steps@1"
    thresholds: Thresholds = Thresholds.uniform(0.995, 0.97)  # noqa: RUF009  (immutable)

    def start(self, messages: Sequence[Message]) -> None: ...

    def score(self, states: Any, texts: Any, channels: Any) -> Any:
        raise NotImplementedError

    def end_step(self, states: Any, steps: Any) -> Any:
        raise NotImplementedError


class RequestsToo(StepsOnly):
    """A request is as harmful as it says."""

    def request_harm(self, messages: Sequence[Message]) -> float:
        return float(messages[0]["content"])


def trace(harm: float, highest: float, *, harmful: bool, labels: str | None = "N") -> ReplayedTrace:
    letters = None if labels is None else tuple(map(Label, labels))
    told = LabelledTrace("1", str(harm), harmful, "t", "v", ("So.",), letters)
    return ReplayedTrace(told, (highest,), (highest,), None, None)


HARMLESS = [trace(n / 100, n / 100, harmful=False) for n in range(100)]
SAFE = [trace(1.0, n / 200, harmful=True) for n in range(100)]
CUES = [trace(1.0, 0.99, harmful=True, labels="C") for _ in range(50)]


def test_harmless_traces_set_the_request_and_safe_ones_the_step() -> None:
    found = calibrated(RequestsToo(), [*HARMLESS, *SAFE, *CUES], 0.1)
    assert found.request == pytest.approx(0.89, abs=1e-3)  # ten of a hundred are above
    for channel in (Channel.REASONING, Channel.TOOL_CALL):
        assert found.thresholds[channel].end == pytest.approx(0.455, abs=1e-3)  # 8 of 100 above
        assert found.thresholds[channel].inside == 0.995
    assert Channel.ANSWER not in found.thresholds


def test_a_request_is_never_held_against_anyone_on_a_mere_suspicion() -> None:
    assert calibrated(RequestsToo(), [*HARMLESS, *SAFE], 0.9).request == LOWEST_LEVEL


def test_otherwise_one_threshold_serves_both() -> None:
    unlabelled = [trace(1.0, 0.2, harmful=True, labels=None) for _ in range(100)]
    for detector, others in (
        (StepsOnly(), SAFE),
        (RequestsToo(), SAFE[:20]),
        (RequestsToo(), unlabelled),
    ):
        found = calibrated(detector, [*HARMLESS, *others], 0.1)
        assert found.request is None
        assert found.thresholds[Channel.REASONING].end == pytest.approx(0.89, abs=1e-3)


def test_too_few_harmless_traces_say_nothing() -> None:
    with pytest.raises(ValueError, match="at least 100"):
        calibrated(StepsOnly(), [*HARMLESS[:99], *SAFE], 0.1)
