"""A guard as the command line's options describe it."""

from ..guard import Guard, GuardConfig, Trace
from ..guard.store import Store
from ..guard.store_recorder import Recorder
from .detectors import detector_for


def new_guard(
    detector: str | None,
    config: GuardConfig,
    recorder: Recorder,
    store: Store | None,
    *,
    model: str,
) -> Guard:
    """With the detector of this name for this model, or without one; what happens goes to the
    recorder."""

    def record(trace: Trace) -> None:
        recorder.record(trace)

    found = detector_for(detector, model) if detector is not None else None
    guard = Guard(found, config, record=record)
    if store is not None:
        guard.learn_from(store)
    return guard
