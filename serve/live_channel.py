"""How running generations are seen from another process: frames beside the store.

A store in a file has a second file beside it (`NAME.live`), so that onlookers never keep a trace
from being stored; in PostgreSQL they are two tables more. One background thread writes whatever
has changed, a few times a second; nothing is queued, so nothing grows when the disk is slow. Text
stays only while its generation runs: with the end it is deleted, and the store has the trace.
"""

import logging
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from ..guard import Session
from ..guard.store_engine import open_engine, write
from ..guard.store_errors import StoreError
from ..guard.store_location import StoreLocation
from .live_frame import Frame, Probe, frame_text

STALE_S = 15.0
"""A writer that has been silent this long is taken for dead. Clocks of several hosts have to agree
better than this."""

_BEAT_S = 1.0
"""How often a writer says that it lives: a row for it in every tick would double what one costs."""

_LINGER_S = 5.0
_MAX_SESSIONS = 256
_log = logging.getLogger(__name__)

_METADATA = MetaData()
_SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")
FRAMES = Table(
    "live_frames",
    _METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("writer", Text, nullable=False),
    Column("stream", Text, nullable=False, index=True),
    Column("body", Text, nullable=False),
    sqlite_autoincrement=True,
)
WRITERS = Table(
    "live_writers",
    _METADATA,
    Column("writer", Text, primary_key=True),
    Column("beat_us", BigInteger, nullable=False),
)


def live_location(store: str | Path) -> StoreLocation:
    """Where the frames of a store's generations are."""
    location = StoreLocation.parse(store)
    if location.path is None:
        return location
    return StoreLocation(location.path.with_name(location.path.name + ".live"), None)


class LiveWriter:
    """Shows sessions to onlookers; `watch` is what a `Guard` takes. Once open, it never raises."""

    def __init__(self, store: str | Path, *, interval_s: float = 0.1, share: float = 0.01) -> None:
        """Raises `StoreError` if nothing can be written there.

        Of one core no more than `share` is used: onlookers get fewer frames where one costs more.
        """
        self._location = live_location(store)
        self._interval_s, self._share = interval_s, share
        self._engine = open_engine(self._location, read_only=False, timeout_s=5.0)
        self._name = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
        self._lock = threading.Lock()
        self._probes: list[Probe] = []
        self._ended: list[tuple[float, str]] = []
        self._beat_at = 0.0
        self._stop = threading.Event()
        self.num_unwatched = 0
        """Sessions that could not be shown, because too many ran at once."""
        try:
            self._write(self._prepare)
        except BaseException:
            self._engine.dispose()
            raise
        self._thread = threading.Thread(target=self._run, name="rerail-live", daemon=True)
        self._thread.start()

    def watch(self, session: Session) -> None:
        """Takes a session that has just been opened; returns at once."""
        with self._lock:
            if len(self._probes) < _MAX_SESSIONS:
                self._probes.append(Probe(session))
            else:
                self.num_unwatched += 1

    def close(self) -> None:
        """Writes what has ended, and takes this process's frames away."""
        self._stop.set()
        self._thread.join(timeout=10.0)
        try:
            self._tick(last=True)
        except StoreError as error:
            _log.warning("onlookers were not told of the end: %s", error)
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self) -> None:
        failed, spent_s = False, 0.0
        while not self._stop.wait(1.0 if failed else max(self._interval_s, spent_s / self._share)):
            began_s = time.thread_time()
            try:
                self._tick()
                failed = False
            except StoreError as error:
                if not failed:
                    _log.warning("onlookers see nothing for now: %s", error)
                failed = True
                for probe in self._probes:
                    probe.restart()
            except Exception:
                _log.exception("onlookers see nothing any more")
                return
            spent_s = time.thread_time() - began_s

    def _tick(self, *, last: bool = False) -> None:
        with self._lock:
            probes = list(self._probes)
        frames = [frame for probe in probes if (frame := probe.frame()) is not None]
        now = time.monotonic()
        beats = now - self._beat_at >= _BEAT_S
        ended = [frame.stream for frame in frames if frame.finished is not None]
        gone = [stream for since, stream in self._ended if now - since > _LINGER_S]
        rows = [
            {"writer": self._name, "stream": frame.stream, "body": frame_text(_closing(frame))}
            for frame in frames
        ]

        def change(connection: Connection) -> None:
            if beats:
                _beat(connection, self._name)
            for stream in (*ended, *gone):
                connection.execute(delete(FRAMES).where(FRAMES.c.stream == stream))
            if rows:
                connection.execute(insert(FRAMES), rows)
            if last:
                mine = FRAMES.c.writer == self._name
                running = FRAMES.c.stream.not_in([*ended, *(s for _, s in self._ended)])
                connection.execute(delete(FRAMES).where(mine, running))

        if not (beats or rows or gone or last):
            return
        self._write(change)
        self._beat_at = now if beats else self._beat_at
        self._ended = [each for each in self._ended if each[1] not in gone]
        self._ended += [(now, stream) for stream in ended]
        with self._lock:
            self._probes = [probe for probe in self._probes if not probe.finished]

    def _prepare(self, connection: Connection) -> None:
        _METADATA.create_all(connection)
        _sweep(connection)
        connection.execute(insert(WRITERS), {"writer": self._name, "beat_us": _now_us()})

    def _write(self, work: Any) -> None:
        write(self._engine, self._location, 5.0, work)


def sweep(store: str | Path) -> None:
    """Deletes what processes left behind that were killed; quietly does nothing where it cannot."""
    location = live_location(store)
    if location.path is not None and not location.path.exists():
        return
    try:
        engine = open_engine(location, read_only=False, timeout_s=1.0)
        try:
            write(engine, location, 1.0, _sweep)
        finally:
            engine.dispose()
    except StoreError as error:
        _log.debug("nothing swept: %s", error)


def _sweep(connection: Connection) -> None:
    dead = WRITERS.c.beat_us <= stale_us()
    connection.execute(delete(WRITERS).where(dead))
    living = select(WRITERS.c.writer)
    connection.execute(delete(FRAMES).where(FRAMES.c.writer.not_in(living)))


def _beat(connection: Connection, name: str) -> None:
    values = {"beat_us": _now_us()}
    changed = connection.execute(update(WRITERS).where(WRITERS.c.writer == name).values(values))
    if not changed.rowcount:  # swept while this process was stopped
        connection.execute(insert(WRITERS), {"writer": name} | values)


def _closing(frame: Frame) -> Frame:
    """The last frame of a generation says how it ended and holds no text."""
    if frame.finished is None:
        return frame
    return replace(
        frame,
        keep=frame.keep + len(frame.tokens),
        tokens=type(frame.tokens)(),
        first_step=frame.first_step + len(frame.steps),
        steps=(),
        first_intervention=frame.first_intervention + len(frame.interventions),
        interventions=(),
    )


def _now_us() -> int:
    return time.time_ns() // 1000


def stale_us() -> int:
    """Writers whose last beat is older are taken for dead."""
    return _now_us() - int(STALE_S * 1e6)
