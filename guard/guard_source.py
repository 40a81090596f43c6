"""Where a guarded model's guard comes from: one of the caller's own, or one made of its parts."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .config import GuardConfig
from .detector import Detector
from .guard import Guard
from .reasoning_format import ReasoningFormat
from .traces import Trace
from .triggers import TriggerPool

if TYPE_CHECKING:
    from .store import Store

SETTINGS = frozenset(GuardConfig.__dataclass_fields__)
"""Names of the settings that guarded models take beside their other options."""


class GuardSource:
    """Holds the parts, and makes the guard when it is first asked for."""

    def __init__(
        self,
        config: GuardConfig | None = None,
        *,
        detector: Detector | None = None,
        triggers: TriggerPool | None = None,
        store: "Store | None" = None,
        record: Callable[[Trace], None] | None = None,
        guard: Guard | None = None,
        settings: Mapping[str, Any],
        model: str = "",
    ) -> None:
        """`settings` are fields of `GuardConfig` and win over `config`; `model` is the folder that
        may bring thresholds of its own. Raises ValueError for an unknown setting, and for a `guard`
        given together with parts of another."""
        own = (config, detector, triggers, store, record)
        if guard is not None and (settings or any(each is not None for each in own)):
            raise ValueError("the guard has its own detector and settings: pass it alone")
        self.config = guard.config if guard is not None else with_settings(config, settings)
        self._given = guard
        self._model = model
        self._detector = detector
        self._triggers = triggers
        self._store = store
        self._recorders: list[Callable[[Trace], Any]] = []
        if store is not None:
            from .store_recorder import Recorder

            self._recorders.append(Recorder(store).record)
        if record is not None:
            self._recorders.append(record)

    @cached_property
    def guard(self) -> Guard:
        """With the shipped detector if no other was given."""
        if self._given is not None:
            return self._given
        detector = self._detector
        if detector is None:
            from .detector_student import StudentDetector

            detector = StudentDetector.for_model(self._model)
        guard = Guard(detector, self.config, triggers=self._triggers, record=self._record)
        if self.config.trigger_sampling == "adaptive" and self._store is not None:
            guard.triggers = guard.triggers.adaptive(self._store.trigger_success())
        return guard

    def reasoning_format(self, vocabulary: Mapping[str, int]) -> ReasoningFormat:
        """The one that is set, else the one that the tokenizer's vocabulary has tokens for."""
        if self.config.reasoning_format == "auto":
            return ReasoningFormat.detect(vocabulary)
        return ReasoningFormat.named(self.config.reasoning_format)

    def _record(self, trace: Trace) -> None:
        for record in self._recorders:
            record(trace)


def with_settings(config: GuardConfig | None, settings: Mapping[str, Any]) -> GuardConfig:
    """`config`, or the defaults, with these fields. Raises ValueError for what is no field."""
    unknown = set(settings) - SETTINGS
    if unknown:
        raise ValueError(f"unknown setting {sorted(unknown)[0]!r}: give a field of GuardConfig")
    return replace(config if config is not None else GuardConfig(), **settings)
