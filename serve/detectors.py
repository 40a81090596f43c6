"""Detectors by name, as `--detector` takes them."""

from pathlib import Path

from ..guard import Detector

DETECTORS = ("student", "keywords")
"""`student`: the ONNX classifier that comes with rerail; `keywords`: the baseline."""


def load_detector(name: str, model: str = "") -> Detector:
    """The detector of this name, or the student in the folder of this name.

    A student takes the thresholds that the model it is to guard brings (`guard.calibration`).
    Raises `ValueError` (`DetectorFileError`, `CalibrationError`) for a folder that is missing,
    damaged or altered.
    """
    if name == "keywords":
        from ..guard.detector_keywords import KeywordDetector

        return KeywordDetector()
    from ..guard.detector_student import StudentDetector
    from ..train.sandbox.shipped import resolved

    folder = resolved(model)
    if name == "student":
        return StudentDetector.for_model(folder)
    if not Path(name).is_dir():
        known = ", ".join(DETECTORS)
        raise ValueError(f"there is no detector {name!r}: name a student's folder, or {known}")
    return StudentDetector.for_model(folder, name)
