"""A guard: detector, settings, triggers and store, ready to open sessions."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .answer_form import keeping_form
from .config import GuardConfig
from .detector import Detector, Thresholds
from .prompt import Prompt
from .reasoning_format import ReasoningFormat
from .session import Session
from .traces import Trace
from .triggers import TriggerPool

if TYPE_CHECKING:
    from .store import Store

_NEVER = Thresholds.uniform(1.0, 1.0)


class Guard:
    """What all streams of one deployment share. Without a detector nothing is guarded or held."""

    def __init__(
        self,
        detector: Detector | None,
        config: GuardConfig | None = None,
        *,
        triggers: TriggerPool | None = None,
        record: Callable[[Trace], None] | None = None,
        watch: Callable[[Session], None] | None = None,
    ) -> None:
        self.detector = detector
        self.config = config if config is not None else GuardConfig()
        if triggers is None and self.config.triggers is not None:
            triggers = TriggerPool.from_file(
                self.config.triggers, replace=self.config.replace_triggers
            )
        self.triggers = triggers if triggers is not None else TriggerPool.built_in()
        self.record = record
        """Called with every finished trace; has to deal with its own failures."""
        self.watch = watch
        """Called with every session that is opened, for onlookers; has to return at once."""

    def open(
        self, prompt: Prompt, reasoning_format: ReasoningFormat, *, stream_index: int = 0
    ) -> Session:
        """A session for one generation; `stream_index` tells `n` choices of a request apart."""
        detector, state, failure = self.detector, None, None
        if detector is not None:
            try:
                state = detector.start(prompt.messages)
            except Exception as error:
                failure = error
        session = Session(
            keeping_form(self.config, prompt.sampling),
            prompt,
            detector=detector.identity if detector is not None else "none",
            detector_state=state,
            thresholds=detector.thresholds if detector is not None else _NEVER,
            reasoning_format=reasoning_format,
            triggers=self.triggers,
            stream_index=stream_index,
        )
        if self.watch is not None:
            self.watch(session)
        if failure is not None:
            session.detector_failed(failure)
        return session

    def learn_from(self, store: "Store") -> None:
        """Where the settings say so, prefers from now on the triggers that have worked by what the
        store has recorded. Raises StoreError if it cannot be asked."""
        if self.config.trigger_sampling == "adaptive":
            self.triggers = self.triggers.adaptive(store.trigger_success())

    def finished(self, session: Session) -> None:
        """Records the trace of a session that is over, if traces are to be recorded."""
        if self.record is not None and session.trace is not None:
            self.record(session.trace)
