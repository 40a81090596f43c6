"""Detectors by name, as `--detector` takes them."""

from collections.abc import Callable
from pathlib import Path

from ..guard import Detector


def _student() -> Detector:
    from ..guard.detector_student import StudentDetector

    return StudentDetector.from_folder()


def _keywords() -> Detector:
    from ..guard.detector_keywords import KeywordDetector

    return KeywordDetector()


DETECTORS: dict[str, Callable[[], Detector]] = {"student": _student, "keywords": _keywords}
"""`student`: the ONNX classifier that comes with rerail; `keywords`: the baseline."""


def load_detector(name: str) -> Detector:
    """The detector of this name, or the student in the folder of this name.

    Raises `ValueError` (`DetectorFileError`) for a folder that is missing, damaged or altered.
    """
    if name in DETECTORS:
        return DETECTORS[name]()
    from ..guard.detector_student import StudentDetector

    if not Path(name).is_dir():
        known = ", ".join(DETECTORS)
        raise ValueError(f"there is no detector {name!r}: name a student's folder, or {known}")
    return StudentDetector.from_folder(name)
