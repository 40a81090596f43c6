"""Detectors for the models that the commands name."""

from ..guard import Detector
from ..guard.detector_loading import load_detector


def detector_for(name: str, model: str) -> Detector:
    """The detector of this name for a model's folder or name, `sandbox` too. Raises as
    `load_detector`."""
    from ..train.sandbox.shipped import resolved

    return load_detector(name, resolved(model))
