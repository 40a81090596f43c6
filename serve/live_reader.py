"""Follows running generations from another process, by what their writers leave in the channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from ..guard.store_engine import open_engine, read
from ..guard.store_errors import StoreError
from .live_channel import FRAMES, WRITERS, live_location, stale_us
from .live_frame import Frame, frame_of

_OVERLAP = 256


@dataclass(frozen=True, slots=True)
class Look:
    """What a reader has found."""

    frames: Sequence[Frame]
    alive: frozenset[str]
    """Streams whose process still runs."""


class LiveReader:
    """Follows all running generations of a store; there need not be any yet."""

    def __init__(self, store: str | Path) -> None:
        self._location = live_location(store)
        self._engine: Any = None
        self._last = 0
        self._seen: set[int] = set()
        self._writer_of: dict[str, str] = {}

    def look(self) -> Look:
        """New frames, in order. Raises `StoreError` if the place is there but cannot be read."""
        if self._engine is None:
            path = self._location.path
            if path is not None and not path.exists():
                return Look((), frozenset())
            self._engine = open_engine(self._location, read_only=True, timeout_s=5.0)
        try:
            rows, alive = read(self._engine, self._location, self._fetch)
        except StoreError as error:
            if "no such table" in str(error) or "does not exist" in str(error):
                return Look((), frozenset())  # the first writer is just making it
            raise
        frames: list[Frame] = []
        for row in rows:
            self._seen.add(row.sequence)
            self._last = max(self._last, row.sequence)
            try:
                frame = frame_of(row.body)
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{self._location.name} was written by another version of rerail: delete it"
                ) from error
            self._writer_of[frame.stream] = row.writer
            frames.append(frame)
        self._seen = {each for each in self._seen if each > self._last - _OVERLAP}
        streams = self._writer_of.items()
        return Look(frames, frozenset(stream for stream, writer in streams if writer in alive))

    def close(self) -> None:
        """Ends the connection."""
        if self._engine is not None:
            self._engine.dispose()

    def _fetch(self, connection: Connection) -> tuple[list[Any], set[str]]:
        query = (
            select(FRAMES.c.sequence, FRAMES.c.writer, FRAMES.c.body)
            # PostgreSQL may commit sequences out of order, so the latest are looked at again.
            .where(FRAMES.c.sequence > self._last - _OVERLAP)
            .where(FRAMES.c.sequence.not_in(self._seen))
            .order_by(FRAMES.c.sequence)
            .limit(1000)
        )
        rows = list(connection.execute(query))
        recent = select(WRITERS.c.writer).where(WRITERS.c.beat_us > stale_us())
        return rows, set(connection.execute(recent).scalars())
