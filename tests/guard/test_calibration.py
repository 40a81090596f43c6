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


def test_the_embedded_model_is_calibrated_for_the_shipped_student() -> None:
    calibration = Calibration.of_model(model_folder())
    assert calibration is not None
    assert calibration.detector == StudentDetector.from_folder().identity
