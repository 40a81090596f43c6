"""Detectors by name, as options of commands and settings of runs take them."""

from pathlib import Path

from .detector import Detector

DETECTORS = ("student", "keywords")
"""`student`: the ONNX classifier that comes with rerail; `keywords`: the baseline."""


def load_detector(name: str, model: str | Path = "") -> Detector:
    """The detector of this name, or the student in the folder of this name.

    A student takes the thresholds that the model it is to guard brings in its folder, `model`.
    Raises `ValueError` (`DetectorFileError`, `CalibrationError`) for a folder that is missing,
    damaged or altered.
    """
    if name == "keywords":
        from .detector_keywords import KeywordDetector

        return KeywordDetector()
    from .detector_student import StudentDetector

    if name == "student":
        return StudentDetector.for_model(model)
    if not Path(name).is_dir():
        known = ", ".join(DETECTORS)
        raise ValueError(f"there is no detector {name!r}: name a student's folder, or {known}")
    return StudentDetector.for_model(model, name)
