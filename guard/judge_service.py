"""Many streams, one detector: all sessions that wait are judged together, in a worker thread.

While a joint call runs, further streams queue up for the next one, so the batch grows with the load
by itself and every stream waits for one call at most before its own (issue: many streams, one
detector). A session is only touched by its stream or by the call it waits for, never by both.

A few words of each stream are read without the thread, if the detector says that this takes
microseconds and they are not too many together: handing them over costs several times as much, of a
core that the engine wants. So are the ends of steps that nobody suspects. All else goes to the
thread: requests, suspicious steps, long texts.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from .detector import Detector, quick_one
from .guard import Guard
from .judge import judge, judge_at_once
from .prompt import Prompt
from .reasoning_format import ReasoningFormat
from .session import Session

_FEW_TOKENS = 64
"""Of all streams together: read in a millisecond or two, in which the event loop does nothing else
(`python tests/bench/bench_capacity.py` has the tokens a second)."""


class JudgeService:
    """Judges sessions for any number of tasks of one event loop. Use as a context manager."""

    def __init__(self, detector: Detector | None, *, max_batch: int = 256) -> None:
        self.detector = detector
        self.max_batch = max_batch
        """At most so many sessions a call; those who came first go first."""
        self._quick = quick_one(detector)
        self._num_opening = 0
        self._waiting: list[tuple[Session, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None
        self._call: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rerail-judge")

    @property
    def queue_depth(self) -> int:
        """Sessions that wait for a call."""
        return len(self._waiting)

    async def open(
        self,
        guard: Guard,
        prompt: Prompt,
        reasoning_format: ReasoningFormat,
        *,
        stream_index: int = 0,
    ) -> Session:
        """`guard.open` on the detector's thread: it reads the conversation, which takes a while,
        and a detector is never asked by two threads at once."""
        opening = partial(guard.open, prompt, reasoning_format, stream_index=stream_index)
        opened = asyncio.get_running_loop().run_in_executor(self._thread, opening)
        self._num_opening += 1
        opened.add_done_callback(self._opened)
        try:
            return await asyncio.shield(opened)
        except asyncio.CancelledError:
            session = await opened
            session.cancel()
            guard.finished(session)
            raise

    async def judge(self, session: Session) -> None:
        """Reads on in `session` until it is idle, has a directive or has finished.

        Raises what the detector raised where `on_detector_error` asks for that.
        """
        if self.detector is None:  # nothing is to be read: no thread for that
            judge(None, [session])
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((session, done))
        if self._running is None:
            self._running = loop.create_task(self._run())
        try:
            await done
        except asyncio.CancelledError:
            if (session, done) in self._waiting:
                self._waiting.remove((session, done))
            elif self._call is not None:
                # The call must not be left half way: whoever is cancelled leaves after it.
                await asyncio.wait([self._call])
            raise

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch = self._waiting[: self.max_batch]
                del self._waiting[: self.max_batch]
                if self._reads_at_once(batch):
                    self._judged(batch)
                    continue
                self._call = loop.create_task(self._judge(batch))
                await self._call
        finally:
            self._running = self._call = None

    async def _judge(self, batch: list[tuple[Session, asyncio.Future[None]]]) -> None:
        """One joint call; who waited for it goes on."""
        loop = asyncio.get_running_loop()
        sessions = [session for session, _ in batch]
        try:
            await loop.run_in_executor(self._thread, judge, self.detector, sessions)
        except Exception as error:
            await self._one_by_one(batch, error)
            return
        self._judged(batch)

    def _reads_at_once(self, batch: list[tuple[Session, asyncio.Future[None]]]) -> bool:
        """Reads here and now if that takes no time; whether nothing is left to be done. Nobody else
        has the detector then: calls follow each other, and no request is being read."""
        if self._quick is None or self._num_opening or len(batch) > _FEW_TOKENS:
            return False
        if not all(session.reads_on for session, _ in batch):
            return False
        if sum(session.num_waiting for session, _ in batch) > _FEW_TOKENS:
            return False
        try:
            return judge_at_once(self._quick, [session for session, _ in batch])
        except Exception:
            return False  # the sessions concerned raise it again

    def _judged(self, batch: list[tuple[Session, asyncio.Future[None]]]) -> None:
        for _, done in batch:
            if not done.done():
                done.set_result(None)

    def _opened(self, _: object) -> None:
        self._num_opening -= 1

    async def _one_by_one(
        self, batch: list[tuple[Session, asyncio.Future[None]]], error: Exception
    ) -> None:
        """One session wants exceptions raised: it gets its own, the others their verdicts."""
        loop = asyncio.get_running_loop()
        for session, done in batch:
            try:
                await loop.run_in_executor(self._thread, judge, self.detector, [session])
            except Exception as own:
                if not done.done():
                    done.set_exception(own)
            else:
                if not done.done():
                    done.set_result(None)

    def close(self) -> None:
        """Ends the worker thread."""
        self._thread.shutdown(wait=True)

    def __enter__(self) -> "JudgeService":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
