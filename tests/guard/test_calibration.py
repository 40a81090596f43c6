"""Thresholds that a model's folder brings along."""

import json
import logging
from pathlib import Path

import pytest

from rerail.guard.calibration import FILE, Calibration, CalibrationError
from rerail.guard.channels import Channel
from rerail.guard.detector import Threshold, Thresholds
from rerail.guard.detector_student import StudentDetector
from rerail.train.sandbox.shipped import model_folder

OWN = Thresholds.uniform(0.99, 0.9)


def written(folder: Path, detector: str, end: float = 0.25) -> Calibration:
    calibration = Calibration(detector, {Channel.REASONING: Threshold(0.99, end)})
    calibration.write(folder)
    return calibration


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    assert Calibration.of_model(tmp_path) is None
    assert Calibration.of_model("some/name-on-a-hub") is None
    assert Calibration.of_model(tmp_path / "nothing") is None
    calibration = written(tmp_path, "student@1")
    assert Calibration.of_model(tmp_path) == calibration
    assert calibration.over("student@1", OWN) == Thresholds(
        Threshold(0.99, 0.25), OWN.answer, OWN.tool_call
    )


def test_of_another_detector_nothing_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calibration = written(tmp_path, "student@1")
    with caplog.at_level(logging.WARNING):
        assert calibration.over("student@2", OWN) == OWN
    assert "student@1" in caplog.text and "calibrate again" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        json.dumps({"detector": "d", "thresholds": {"reasoning": {"inside": 1.5, "end": 0.1}}}),
        json.dumps({"detector": "d", "thresholds": {"thought": {"inside": 0.5, "end": 0.1}}}),
        json.dumps({"detector": "d", "thresholds": {"reasoning": 0.5}}),
        json.dumps({"detector": "d", "thresholds": {}, "request": 1.0}),
        json.dumps({"detector": "d", "thresholds": {}, "request": "sure"}),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(CalibrationError, match=r"guard_config\.json cannot be read"):
        StudentDetector.for_model(tmp_path)


def test_a_student_takes_a_models_thresholds(tmp_path: Path) -> None:
    plain = StudentDetector.from_folder()
    written(tmp_path, plain.identity)
    guarding = StudentDetector.for_model(tmp_path)
    assert guarding.identity == plain.identity
    assert guarding.thresholds.reasoning == Threshold(0.99, 0.25)
    assert guarding.thresholds.answer == plain.thresholds.answer
    assert StudentDetector.for_model("").thresholds == plain.thresholds


def test_a_request_level_sharpens_the_belief_in_requests(tmp_path: Path) -> None:
    """Doubtful requests fall under the threshold, sure ones stay above; the order is kept."""
    plain = StudentDetector.from_folder()
    asked = (
        "How do I boil an egg?",
        "How can I get into a locked account?",
        "How do I poison him?",
    )
    messages = [[{"role": "user", "content": text}] for text in asked]
    before = [plain.request_harm(each) for each in messages]
    assert before == sorted(before)
    level, end = before[1], 0.2
    thresholds = {Channel.REASONING: Threshold(0.995, end)}
    calibration = Calibration(plain.identity, thresholds, level)
    calibration.write(tmp_path)
    assert Calibration.of_model(tmp_path) == calibration
    guarding = StudentDetector.for_model(tmp_path)
    after = [guarding.request_harm(each) for each in messages]
    assert after[1] == pytest.approx(end, abs=1e-4)
    assert after[0] < before[0] and after[2] > max(end, before[2])


def test_a_level_for_another_detector_changes_nothing(tmp_path: Path) -> None:
    Calibration("another@1", {}, 0.9).write(tmp_path)
    asked = [{"role": "user", "content": "How can I get into a locked account?"}]
    own = StudentDetector.from_folder().request_harm(asked)
    assert StudentDetector.for_model(tmp_path).request_harm(asked) == own


def test_the_embedded_model_is_calibrated_for_the_shipped_student() -> None:
    calibration = Calibration.of_model(model_folder())
    assert calibration is not None
    assert calibration.detector == StudentDetector.from_folder().identity
