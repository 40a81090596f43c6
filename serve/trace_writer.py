"""Finished traces on their way into the store, on a thread of their own.

A generation never waits for the database. Traces that cannot be stored now wait in a bounded buffer
and are tried again. A request is only let in while there is room for its traces, so with the
default policy none is ever lost while the server runs.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from ..guard import Store, Trace
from ..guard.store_errors import StoreError
from .wire_errors import overloaded

_log = logging.getLogger(__name__)

_MAX_PAUSE_S = 5.0
_MAX_ATTEMPTS = 5
"""Of a trace that alone cannot be stored, while others can."""


class WhenUnstored(StrEnum):
    """What follows when traces cannot be stored and the buffer is full."""

    REFUSE = "refuse"
    """Take no new requests until the store takes traces again."""

    GO_ON = "go_on"
    """Go on; traces without room are lost, and counted."""


@dataclass(slots=True)
class _Waiting:
    trace: Trace
    num_attempts: int = 0
    num_stored_before: int = 0
    """How many had been stored when it first failed."""


class TraceWriter:
    """Writes to one store; without one it keeps nothing."""

    def __init__(
        self,
        store: Store | None,
        *,
        redacted: bool = False,
        capacity: int = 1000,
        when_unstored: WhenUnstored = WhenUnstored.REFUSE,
        first_pause_s: float = 0.2,
    ) -> None:
        self.num_stored = 0
        self.num_lost = 0
        self.failing = False
        """Whether the store refused the last time."""
        self._store = store
        self._redacted = redacted
        self._capacity = capacity
        self._when_unstored = when_unstored
        self._first_pause_s = first_pause_s
        self._waiting: deque[_Waiting] = deque()
        self._num_expected = 0
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._closing_at_s: float | None = None
        self._thread = threading.Thread(target=self._work, name="rerail-store", daemon=True)
        if store is not None:
            self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Traces in the buffer."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether not even one more trace may be expected."""
        return not self._has_room(1)

    @contextmanager
    def room_for(self, num_traces: int) -> Generator[None]:
        """Keeps room for the traces of a request while it runs.

        Raises `ApiError` 503 if there is none and nothing is to go on unstored.
        """
        if self._store is not None and not self._has_room(num_traces):
            raise overloaded(
                "the trace store cannot be reached, and nothing is answered unrecorded: try again",
                "store_unavailable",
                retry_after_s=5.0,
            )
        self._num_expected += num_traces
        try:
            yield
        finally:
            self._num_expected -= num_traces

    def submit(self, trace: Trace) -> None:
        """Takes a finished trace; never waits and never raises."""
        if self._store is None:
            return
        with self._changed:
            if self._when_unstored is WhenUnstored.GO_ON and len(self._waiting) >= self._capacity:
                self._lose(trace, "the buffer is full")
                return
            self._waiting.append(_Waiting(trace))
            self._changed.notify()

    def close(self, timeout_s: float = 10.0) -> None:
        """Stores what waits, for so long at most, and ends the thread and the store."""
        if self._store is None:
            return
        with self._changed:
            self._closing_at_s = time.monotonic() + timeout_s
            self._closing.set()
            self._changed.notify()
        self._thread.join()
        self._store.close()

    def _has_room(self, num: int) -> bool:
        if self._when_unstored is WhenUnstored.GO_ON:
            return True
        return len(self._waiting) + self._num_expected + num <= self._capacity

    def _work(self) -> None:
        pause_s = self._first_pause_s
        while True:
            with self._changed:
                while not self._waiting and self._closing_at_s is None:
                    self._changed.wait()
                if not self._waiting:
                    return
                waiting = self._waiting[0]
            stored = self._try(waiting)
            with self._changed:
                if stored:
                    self._waiting.popleft()
                    pause_s = self._first_pause_s
                    continue
                if self._closing_at_s is not None and time.monotonic() >= self._closing_at_s:
                    for each in self._waiting:
                        self._lose(each.trace, "the server ends")
                    self._waiting.clear()
                    return
                self._waiting.rotate(-1)  # so that one bad trace does not hold up the others
            if self._closing.is_set():
                time.sleep(self._first_pause_s)
            else:
                self._closing.wait(pause_s)
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    def _try(self, waiting: _Waiting) -> bool:
        """Whether the trace need not be tried again."""
        assert self._store is not None
        waiting.num_attempts += 1
        try:
            self._store.add(waiting.trace, redacted=self._redacted)
        except StoreError as error:
            if self._has(waiting.trace.id):
                self.num_stored += 1  # an attempt whose success was not heard of
                return True
            if waiting.num_attempts == 1:
                waiting.num_stored_before = self.num_stored
            others_go = self.num_stored > waiting.num_stored_before
            if others_go and waiting.num_attempts >= _MAX_ATTEMPTS:
                self._lose(waiting.trace, str(error))
                return True
            if not self.failing:
                _log.error("the store refuses traces; they wait: %s", error)
            self.failing = True
            return False
        except Exception as error:  # the trace holds what no store can keep
            self._lose(waiting.trace, type(error).__name__)
            return True
        if self.failing:
            _log.warning("the store takes traces again")
        self.failing = False
        self.num_stored += 1
        return True

    def _has(self, trace_id: str) -> bool:
        assert self._store is not None
        try:
            self._store.summary(trace_id)
            return True
        except StoreError:  # it is not there, or nobody can tell now
            return False

    def _lose(self, trace: Trace, why: str) -> None:
        self.num_lost += 1
        _log.error("trace %s is lost: %s", trace.id, why)
