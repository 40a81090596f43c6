"""Watches a file that names a model and an adapter (`promoted.json` of `rerail train watch`)."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ..guard.json_text import json_of
from .server_logs import log_event

Named = tuple[str, str | None]
"""A model, and the adapter over it if there is one."""

Take = Callable[[str, str | None], None]
"""Takes over a model under an adapter, if there is one."""


class PointerWatch:
    """Hands over what the file names whenever it changes, in a thread of its own.

    What cannot be taken over changes nothing: it is logged, and what was before stays.
    """

    def __init__(
        self,
        pointer: Path,
        take: Take,
        *,
        poll_s: float = 1.0,
        between: Callable[[], None] = lambda: None,
        serving: Named | None = None,
    ) -> None:
        """The file need not be there yet. `between` is called at every look. What is `serving`
        already is not taken over again."""
        self._pointer = pointer
        self._take = take
        self._poll_s = poll_s
        self._between = between
        self._serving = serving
        self._read: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="rerail-follow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, after what it is about."""
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(self._poll_s):
            self._between()
            found = content(self._pointer)
            if found is None or found == self._read:
                continue
            self._read = found
            try:
                named = named_in(found)
                if named != self._serving:
                    self._take(*named)
                    self._serving = named
            except Exception as error:  # whatever is wrong with it, the old one serves on
                log_event("new model not loaded", level=logging.ERROR, reason=str(error))


def named_in(text: str) -> Named:
    """The model, and the adapter if there is one, of such a file. Raises ValueError or KeyError."""
    wanted = json_of(text)
    return wanted["model"], wanted["adapter"]


def content(pointer: Path) -> str | None:
    """The file's text; `None` where there is none."""
    try:
        return pointer.read_text("utf-8")
    except FileNotFoundError:
        return None
