"""Detectors by name, as options of commands and settings of runs take them."""

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from .detector import Detector

DETECTORS = ("student", "keywords")
"""`student`: the ONNX classifier that comes with rerail; `keywords`: the baseline."""

_PLACE = re.compile(r"([\w.]+):([\w.]+)")


def load_detector(name: str, model: str | Path = "") -> Detector:
    """The detector of this name, the student in the folder of this name, or one of the caller's
    own: `module:name`, what makes it (a class, or a function without arguments).

    A student takes the thresholds that the model it is to guard brings in its folder, `model`.
    Raises `ValueError` (`DetectorFileError`, `CalibrationError`) for a folder that is missing,
    damaged or altered, and for what is no detector.
    """
    if name == "keywords":
        from .detector_keywords import KeywordDetector

        return KeywordDetector()
    from .detector_student import StudentDetector

    if name == "student":
        return StudentDetector.for_model(model)
    if Path(name).is_dir():
        return StudentDetector.for_model(model, name)
    if place := _PLACE.fullmatch(name):
        return _made(name, *place.groups())
    known = ", ".join(DETECTORS)
    raise ValueError(
        f"there is no detector {name!r}: name a student's folder, module:name, or {known}"
    )


def _made(place: str, module: str, name: str) -> Detector:
    sys.path.insert(0, "")  # as `python -m` does: the user's own module lies where they are
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the detector {place} is not there: {error}") from error
    finally:
        sys.path.remove("")
    made = found()
    missing = [
        each
        for each in ("identity", "thresholds", "start", "score", "end_step")
        if not hasattr(made, each)
    ]
    if missing:
        raise ValueError(
            f"{place} makes no detector: it has no {', '.join(missing)} (see rerail.guard.Detector)"
        )
    return made
