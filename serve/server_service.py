"""What all requests of a server share: engine, guard, detector thread, store, limits, metrics."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ..guard import Detector, Guard, GuardConfig, Policy, Trace, TriggerPool
from ..guard.judge_service import JudgeService
from .api_keys import ApiKeys, Caller
from .engine import Engine
from .live_channel import LiveWriter
from .rate_limits import RateLimits
from .server_logs import log_event
from .server_mailbox import Mailbox
from .server_metrics import Metrics
from .server_settings import ServerSettings
from .timed_detector import TimedDetector
from .trace_writer import TraceWriter
from .wire_errors import ApiError, ErrorType, invalid, overloaded
from .wire_requested_guard import RequestedGuard


@dataclass(frozen=True, slots=True)
class Parts:
    """What takes a while to load."""

    engine: Engine
    detector: Detector | None
    """`None` guards nothing; every trace then says that nothing was scanned."""

    triggers: TriggerPool | None = None


class Service:
    """One server's state; all of it lives on one event loop."""

    def __init__(
        self,
        load: Callable[[], Parts],
        config: GuardConfig,
        settings: ServerSettings,
        keys: ApiKeys,
        writer: TraceWriter,
        *,
        live: LiveWriter | None = None,
    ) -> None:
        """`load` runs in a thread once the server listens; `live` shows generations to onlookers
        while they run."""
        self.config = config
        self.settings = settings
        self.keys = keys
        self.writer = writer
        self.metrics = Metrics()
        self.limits = RateLimits(
            requests_per_minute=settings.requests_per_minute,
            max_concurrent_per_key=settings.max_concurrent_per_key,
            max_concurrent=settings.max_concurrent,
        )
        self.draining = False
        self.load_failure: BaseException | None = None
        self._load = load
        self._live = live
        self._parts: Parts | None = None
        self._judge: JudgeService | None = None
        self._mailboxes: set[Mailbox[Any]] = set()
        self.metrics.watch_writer(writer)
        self.metrics.watch(
            "running_generations", "Generations under way.", lambda: self.limits.num_running
        )
        self.metrics.watch(
            "detector_queue",
            "Streams that wait for the detector.",
            lambda: self._judge.queue_depth if self._judge is not None else 0,
        )
        if live is not None:
            self.metrics.watch(
                "live_unwatched",
                "Generations that onlookers were not shown, too many being under way.",
                lambda: live.num_unwatched,
            )
        self.metrics.watch("ready", "1 if generations are possible.", lambda: float(self.loaded))

    @property
    def loaded(self) -> bool:
        """Whether engine and detector are there."""
        return self._parts is not None

    async def start(self) -> None:
        """Loads engine and detector; a failure is kept in `load_failure`, and ends the server."""
        try:
            parts = await asyncio.to_thread(self._load)
        except Exception as error:
            self.load_failure = error
            return
        why_not = parts.engine.why_no_intervention
        guards = parts.detector is not None and self.config.policy is Policy.INTERVENE
        if why_not is not None and guards:
            self.load_failure = ValueError(why_not)
            await parts.engine.close()
            return
        detector = parts.detector
        if detector is not None:
            detector = TimedDetector(detector, self.metrics)
        self._judge = JudgeService(detector)
        self._parts = replace(parts, detector=detector)
        log_event(
            "ready",
            models=list(parts.engine.model_names),
            detector=detector.identity if detector is not None else "none",
            policy=self.config.policy.value,
        )

    async def close(self) -> None:
        """Ends the engine and stores what waits."""
        if self._parts is not None:
            await self._parts.engine.close()
        if self._judge is not None:
            await asyncio.to_thread(self._judge.close)
        await asyncio.to_thread(self.writer.close)

    async def readiness(self) -> str | None:
        """`None` if the server is ready, else why it is not."""
        if self._parts is None:
            return "the model is being loaded"
        if self.draining:
            return "the server is shutting down"
        if self.writer.full:
            return "the trace store cannot be reached"
        return None if await self._parts.engine.ready() else "the engine cannot be reached"

    @property
    def engine(self) -> Engine:
        """Raises `ApiError` 503 as long as nothing can be generated."""
        if self._parts is None:
            raise overloaded("the model is being loaded: try again soon", "not_ready", 5.0)
        return self._parts.engine

    @property
    def judge(self) -> JudgeService:
        """Scores what all generations ask for. There is none before `loaded`."""
        assert self._judge is not None
        return self._judge

    @contextmanager
    def admitted(self, caller: Caller, num_choices: int) -> Generator[None]:
        """Lets a request in while it runs. Raises `ApiError` 429 or 503 where there is no room."""
        if self.draining:
            raise overloaded("the server is shutting down: ask another one", "shutting_down")
        with (
            self.limits.generations(caller, num_choices),
            self.writer.room_for(num_choices),
        ):
            yield

    def guard_for(self, options: RequestedGuard | None, caller: Caller) -> Guard:
        """The guard of one request. Raises `ApiError` 403 for options of an untrusted caller."""
        assert self._parts is not None
        config = self.config
        if options is not None:
            if not caller.trusted:
                raise ApiError(
                    403,
                    "rerail: this key may not set guard options; leave the field out",
                    ErrorType.PERMISSION,
                    param="rerail",
                    code="guard_options_not_allowed",
                )
            config = options.over(config)
            why_not = self._parts.engine.why_no_intervention
            if config.policy is Policy.INTERVENE and why_not is not None:
                raise invalid("rerail.policy", why_not)
        parts = self._parts
        return Guard(
            parts.detector,
            config,
            triggers=parts.triggers,
            record=self._finished,
            watch=self._live.watch if self._live is not None else None,
        )

    @contextmanager
    def mailbox(self, capacity: int) -> Generator[Mailbox[Any]]:
        """A mailbox that `cut_off` reaches."""
        mailbox: Mailbox[Any] = Mailbox(capacity)
        self._mailboxes.add(mailbox)
        try:
            yield mailbox
        finally:
            self._mailboxes.discard(mailbox)

    def cut_off(self) -> None:
        """Ends everything that still runs, with an error that says why."""
        log_event("ending what still runs", generations=self.limits.num_running)
        for mailbox in self._mailboxes:
            mailbox.fail(overloaded("the server is shutting down", "shutting_down"))

    def _finished(self, trace: Trace) -> None:
        self.metrics.finished(trace)
        self.writer.submit(trace)
