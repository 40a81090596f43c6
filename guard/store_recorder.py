"""Puts traces into the store without ever getting in the way of a generation.

A store that refuses (a full disk, a lost server) costs the traces of that time and nothing else:
each one is reported through `logging`, and storing goes on as soon as the store takes traces again.
"""

import logging
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .traces import Trace

if TYPE_CHECKING:
    from .store import Store

_log = logging.getLogger(__name__)


class Storing(StrEnum):
    """What is stored of a generation."""

    FULL = "full"
    """Everything."""

    REDACTED = "redacted"
    """No text and no token ids (`store_redact.redacted`); such a trace gives no pairs."""

    OFF = "off"
    """Nothing."""


class Recorder:
    """Stores traces; `record` never raises. Safe to use from several threads."""

    def __init__(
        self,
        store: "Store | None",
        storing: Storing | str = Storing.FULL,
        *,
        failed: str | None = None,
    ) -> None:
        """Without a store either `storing` is off or `failed` says why there is none; else raises
        `ValueError`.
        """
        self.storing = Storing(storing)
        if store is None and failed is None and self.storing is not Storing.OFF:
            raise ValueError(f"storing {self.storing.value!r} needs a store: open one, or use off")
        self.num_stored = 0
        self.num_lost = 0
        self.failed = failed
        """The last failure, in a sentence; `None` if every trace has been stored."""
        self._store = store
        self._lock = threading.Lock()

    @classmethod
    def open(cls, url_or_path: str | Path, storing: Storing | str = Storing.FULL) -> Self:
        """Opens the store too. One that cannot be opened is a failure like any other, so that the
        generation goes on; who wants it to be fatal opens a `Store` and hands that over.

        Raises `ValueError` and `ImportError` as `Store` does: those are mistakes in the call.
        """
        if Storing(storing) is Storing.OFF:
            return cls(None, storing)
        from .store import Store
        from .store_errors import StoreError

        try:
            return cls(Store(url_or_path), storing)
        except StoreError as error:
            _log.error("%s; nothing is stored", error)
            return cls(None, storing, failed=str(error))

    def record(self, trace: Trace) -> bool:
        """Stores a finished trace; whether that worked or was not wanted. Blocks while other
        processes write, so call it from a thread where an event loop must not wait.
        """
        if self.storing is Storing.OFF:
            return True
        if self._store is None:
            return self._lost(trace, self.failed or "there is no store")
        try:
            self._store.add(trace, redacted=self.storing is Storing.REDACTED)
        except Exception as error:
            return self._lost(trace, str(error) or type(error).__name__)
        with self._lock:
            self.num_stored += 1
        return True

    def _lost(self, trace: Trace, why: str) -> bool:
        with self._lock:
            self.num_lost += 1
            self.failed = why
        _log.error("trace %s is not stored: %s", trace.id, why)
        return False

    def close(self) -> None:
        """Closes the store."""
        if self._store is not None:
            self._store.close()
