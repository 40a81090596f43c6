"""Child processes end with this program, however it ends.

An engine's process waits for ever for a program that was killed outright (out of memory, `kill -9`)
and could clean nothing up, and holds its device's memory all the while. So a small process of its
own, which is this file, knows them: its stdin ends when the program does. Processes are known by
pidfds and never by numbers, which may be somebody else's by then; where the system has none (it
is not Linux), nobody watches.
"""

import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

_PATIENCE_S = 5.0
"""From being asked to end to being killed."""

_LOOK_S = 0.2


@contextmanager
def ending_with_this_program() -> Generator[None]:
    """For children that `multiprocessing` starts while the context lasts, from their start on."""
    if not hasattr(os, "pidfd_open"):
        yield
        return
    known, over = {each.pid for each in multiprocessing.active_children()}, threading.Event()

    def tell() -> None:
        for child in multiprocessing.active_children():
            if child.pid not in known:
                known.add(child.pid)
                os.write(_watcher(), b"%d\n" % child.pid)

    def look() -> None:
        while not over.wait(_LOOK_S):
            tell()

    looking = threading.Thread(target=look, name="rerail-orphan-watch", daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
        tell()


@cache
def _watcher() -> int:
    """Where to tell it; one for the whole program, out of reach of what a terminal sends to all."""
    theirs, ours = os.pipe()
    nothing = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", __file__],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, theirs, 0),
            nothing,
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    os.close(theirs)
    return ours


def main() -> None:
    """Waits for the program's end, and ends whom it has named."""
    watched: list[int] = []
    for line in sys.stdin:
        try:
            watched.append(os.pidfd_open(int(line)))
        except ProcessLookupError:  # gone already
            continue
    for sent in (signal.SIGTERM, signal.SIGKILL):
        watched = [process for process in watched if _send(process, sent)]
        until_s = time.monotonic() + _PATIENCE_S
        while watched and (left_s := until_s - time.monotonic()) > 0:
            ended, _, _ = select.select(watched, [], [], left_s)
            watched = [process for process in watched if process not in ended]


def _send(process: int, sent: signal.Signals) -> bool:
    """Whether there was still somebody to send it to."""
    try:
        signal.pidfd_send_signal(process, sent)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
