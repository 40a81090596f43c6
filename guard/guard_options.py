"""The options that every guarded model takes beside its `config`, and the guard they make."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import TypedDict  # typing's own knows `extra_items` from Python 3.15 on

from .config import GuardConfig
from .detector import Detector
from .guard import Guard
from .traces import Trace
from .triggers import TriggerPool

if TYPE_CHECKING:
    from .store import Store

SETTINGS = frozenset(GuardConfig.__dataclass_fields__)
"""Names of the settings that guarded models take by name."""


class GuardOptions(TypedDict, total=False, extra_items=Any):
    """Parts of a guard by name. Every other option is a field of `GuardConfig` (`policy="audit"`,
    `hold=8`, `threshold=0.7`, ...) and wins over `config`."""

    detector: Detector | None
    """By default the shipped student, with the thresholds that the model's folder brings for it."""

    triggers: TriggerPool | str | Path | None
    """A pool, or a file of triggers (`GuardConfig.triggers`)."""

    store: "Store | None"
    """Where traces go; a store that fails costs no generation."""

    record: Callable[[Trace], None] | None
    """Called with every trace, after the store has it."""

    guard: Guard | None
    """One of the caller's own in place of `config` and all other options; `Guard(None)` guards
    nothing."""


_PARTS = GuardOptions.__optional_keys__


def split_options(options: Mapping[str, Any]) -> tuple[GuardOptions, dict[str, Any]]:
    """The guard's among options that are given together, and whatever is another's."""
    own = {name: value for name, value in options.items() if name in SETTINGS | _PARTS}
    others = {name: value for name, value in options.items() if name not in own}
    return cast(GuardOptions, own), others


def guard_from_options(config: GuardConfig | None, options: GuardOptions, *, model: str) -> Guard:
    """The guard for the model in the folder (or of the name) `model`.

    Raises ValueError for an unknown or wrong setting and for a `guard` given together with parts of
    another; DetectorFileError or CalibrationError where the shipped student, or what the model's
    folder brings for it, cannot be read; StoreError where triggers are to be chosen by what the
    store knows, and it cannot be asked.
    """
    settings = {name: value for name, value in options.items() if name not in _PARTS}
    own = options.get("guard")
    if own is not None:
        parts = (config, *(value for name, value in options.items() if name in _PARTS - {"guard"}))
        if settings or any(part is not None for part in parts):
            raise ValueError("the guard has its own detector and settings: pass it alone")
        return own
    unknown = set(settings) - SETTINGS
    if unknown:
        raise ValueError(f"unknown setting {sorted(unknown)[0]!r}: give a field of GuardConfig")
    triggers = options.get("triggers")
    if isinstance(triggers, (str, Path)):
        settings["triggers"], triggers = Path(triggers), None
    config = replace(config if config is not None else GuardConfig(), **settings)
    detector = options.get("detector")
    if detector is None:
        from .detector_student import StudentDetector

        detector = StudentDetector.for_model(model)
    store = options.get("store")
    record = _recording(store, options.get("record"))
    guard = Guard(detector, config, triggers=triggers, record=record)
    if store is not None:
        guard.learn_from(store)
    return guard


def _recording(
    store: "Store | None", record: Callable[[Trace], None] | None
) -> Callable[[Trace], None] | None:
    if store is None:
        return record
    from .store_recorder import Recorder

    recorder = Recorder(store)

    def both(trace: Trace) -> None:
        recorder.record(trace)
        if record is not None:
            record(trace)

    return both
