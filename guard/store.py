"""The store: traces, interventions and preference pairs, in SQLite or PostgreSQL.

One transaction a trace. Traces are read in pages, with no transaction held open between them, so
that a slow reader (training, a terminal) never keeps writers or a purge waiting.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Column, Connection, Table, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from .pairs import Pair, pairs_of
from .store_codec import pair_body, pair_of, trace_of
from .store_cursor import Cursor
from .store_engine import open_engine, read, write
from .store_errors import NotInStore, StoreError
from .store_location import StoreLocation
from .store_migrate import prepare
from .store_purge import Purged, delete_rows, held_ids, wipe
from .store_query import (
    SUMMARY_COLUMNS,
    TRIGGER_SUCCESS,
    PairFilter,
    TraceFilter,
    TraceSummary,
    matching_pairs,
    matching_traces,
    microseconds,
    summary_of,
    trace_conditions,
)
from .store_redact import redacted as without_texts
from .store_rows import pair_row, trace_rows
from .store_schema import INTERVENTIONS, PAIRS, TRACE_CHANNELS, TRACES
from .traces import Trace

Result = TypeVar("Result")

_PAGE = 64
"""Bodies read at once."""


class Store:
    """Safe to use from several threads, and from several processes that open one each (a `Store` is
    not to be carried over a fork).

    Every method raises `StoreError`, with one sentence for the user, if the database refuses; then
    nothing of that call is stored, and everything stored before is intact.
    """

    def __init__(
        self, url_or_path: str | Path, *, read_only: bool = False, timeout_s: float = 15.0
    ) -> None:
        """Opens the store; made, or brought up to this version's schema, unless `read_only`.

        `timeout_s` is how long to wait for other processes. Raises `ValueError` for a URL that is
        no store, `ImportError` where the PostgreSQL driver is missing.
        """
        self._location = StoreLocation.parse(url_or_path)
        self._timeout_s = timeout_s
        self._engine = open_engine(self._location, read_only=read_only, timeout_s=timeout_s)
        try:
            prepare(self._engine, self._location, read_only=read_only, timeout_s=timeout_s)
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def name(self) -> str:
        """The file, or the URL without its password."""
        return self._location.name

    def close(self) -> None:
        """Gives the connections back; iterators of this store are of no use afterwards."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def add(
        self, trace: Trace, *, pairs: Sequence[Pair] | None = None, redacted: bool = False
    ) -> None:
        """Stores a trace with its interventions and pairs (`pairs_of(trace)` by default).

        `redacted` leaves out every text and token id, and the pairs. Raises `ValueError` if the
        trace holds something that is no plain value.
        """
        stored = without_texts(trace) if redacted else trace
        pairs = () if redacted else pairs_of(trace) if pairs is None else pairs
        rows = trace_rows(stored, redacted=redacted)
        pair_rows = [pair_row(pair, microseconds(trace.created_at)) for pair in pairs]

        def insert_rows(connection: Connection) -> None:
            _insert(connection, TRACES, [rows.trace])
            _insert(connection, TRACE_CHANNELS, rows.channels)
            _insert(connection, INTERVENTIONS, rows.interventions)
            _insert(connection, PAIRS, pair_rows)

        self._insert_once(insert_rows, f"trace {trace.id}, or a pair of it,")

    def add_pairs(self, pairs: Iterable[Pair], *, created_at: datetime | None = None) -> int:
        """Stores pairs that come without their traces, all or none; how many."""
        created_us = microseconds(created_at or datetime.now(UTC))
        rows = [pair_row(pair, created_us) for pair in pairs]
        self._insert_once(lambda connection: _insert(connection, PAIRS, rows), "one of the pairs")
        return len(rows)

    def get(self, trace_id: str) -> Trace:
        """The trace with this id, or whose id alone begins so; else raises `NotInStore`."""

        def fetch(connection: Connection) -> tuple[str, bytes]:
            whole = self._resolved(connection, trace_id)
            body = connection.execute(select(TRACES.c.body).where(TRACES.c.id == whole)).scalar()
            assert body is not None
            return whole, body

        whole, body = self._read(fetch)
        return self._decoded(trace_of, body, f"trace {whole}")

    def summary(self, trace_id: str) -> TraceSummary:
        """The same trace as a line of a list."""

        def fetch(connection: Connection) -> TraceSummary:
            whole = self._resolved(connection, trace_id)
            query = select(*SUMMARY_COLUMNS).where(TRACES.c.id == whole)
            return summary_of(connection.execute(query).one())

        return self._read(fetch)

    def traces(self, wanted: TraceFilter | None = None) -> Iterator[Trace]:
        """The traces that are wanted, one by one; those purged meanwhile are left out."""
        query = matching_traces(select(TRACES.c.sequence), wanted or TraceFilter())
        for body in self._bodies(TRACES, query):
            yield self._decoded(trace_of, body, "a trace")

    def summaries(self, wanted: TraceFilter | None = None) -> list[TraceSummary]:
        """The traces that are wanted as lines of a list; cheap, since no body is read."""
        query = matching_traces(select(*SUMMARY_COLUMNS), wanted or TraceFilter())
        return self._read(lambda connection: [summary_of(row) for row in connection.execute(query)])

    def count(self, wanted: TraceFilter | None = None) -> int:
        """How many traces are wanted, whatever the filter's page."""
        conditions = trace_conditions(wanted or TraceFilter())
        query = select(func.count()).select_from(TRACES).where(*conditions)
        return self._read(lambda connection: connection.execute(query).scalar_one())

    def newest(self) -> Cursor:
        """Where a watcher starts who wants only what is stored from now on."""
        return self._read(Cursor.at_end)

    def newer(self, cursor: Cursor, *, limit: int = 500) -> tuple[list[TraceSummary], Cursor]:
        """What has been stored since, in order of storing, and the cursor for the next call.

        Each trace comes exactly once, also one that began before others that were stored earlier.
        """
        return self._read(lambda connection: cursor.read(connection, limit))

    def pairs(self, wanted: PairFilter | None = None) -> Iterator[Pair]:
        """The pairs that are wanted, oldest first; those purged meanwhile are left out."""
        for body in self._bodies(PAIRS, matching_pairs(wanted or PairFilter())):
            yield self._decoded(pair_of, body, "a pair")

    def count_pairs(self, wanted: PairFilter | None = None) -> int:
        """How many pairs are wanted."""
        matching = matching_pairs(wanted or PairFilter()).subquery()
        query = select(func.count()).select_from(matching)
        return self._read(lambda connection: connection.execute(query).scalar_one())

    def pair(self, pair_id: str) -> Pair:
        """The pair with this id; else raises `NotInStore`."""
        return self._read(lambda connection: self._pair(connection, pair_id))

    def complete_pair(self, pair_id: str, rest: str, rest_ids: Sequence[int]) -> bool:
        """Adds the original continuation to a pair's rejected side: text, and ids if the backend
        gives them. `False`, and nothing changed, if the pair was complete already.
        """

        def append(connection: Connection) -> bool:
            pair = self._pair(connection, pair_id)
            if pair.complete:
                return False
            # Half a sequence of ids is of no use: they are kept only where both parts have them.
            whole_ids = bool(pair.rejected_ids) and (bool(rest_ids) or not rest)
            ids = pair.rejected_ids + tuple(rest_ids) if whole_ids else ()
            done = replace(pair, rejected=pair.rejected + rest, rejected_ids=ids, complete=True)
            change = update(PAIRS).where(PAIRS.c.id == pair_id, PAIRS.c.complete.is_(False))
            values = {"complete": True, "body": pair_body(done)}
            return connection.execute(change.values(values)).rowcount == 1

        return self._write(append)

    def trigger_success(self) -> dict[str, tuple[int, int]]:
        """By trigger: how often no further cue followed, and how often that could be told."""
        rows = self._read(lambda connection: list(connection.execute(TRIGGER_SUCCESS)))
        return {trigger: (int(successes), int(uses)) for trigger, successes, uses in rows}

    def purge(
        self,
        *,
        before: datetime | None = None,
        ids: Sequence[str] | None = None,
        everything: bool = False,
        keep_pairs: bool = False,
    ) -> Purged:
        """Deletes traces and their pairs for good: those begun before a time, those named (short
        ids will do), or all; with both a time and ids, what fits both.

        Raises `ValueError` unless told what to delete, `NotInStore` for an unknown id; then nothing
        is deleted.
        """
        if everything == (before is not None or ids is not None):
            raise ValueError("say what to purge: a time before which, ids, or everything")
        if before is not None and before.tzinfo is None:
            raise ValueError(f"before is {before.isoformat()}: give a time with its zone")

        def remove(connection: Connection) -> tuple[int, int]:
            whole = (
                None
                if ids is None
                else [self._resolved(connection, each, PAIRS.c.trace_id) for each in ids]
            )
            return delete_rows(connection, before=before, ids=whole, keep_pairs=keep_pairs)

        num_traces, num_pairs = self._write(remove)
        return Purged(num_traces, num_pairs, wipe(self._engine))

    def _read(self, work: Callable[[Connection], Result]) -> Result:
        return read(self._engine, self._location, work)

    def _write(self, work: Callable[[Connection], Result]) -> Result:
        return write(self._engine, self._location, self._timeout_s, work)

    def _insert_once(self, work: Callable[[Connection], None], what: str) -> None:
        try:
            self._write(work)
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise StoreError(f"{what} is in the store {self.name} already") from error
            raise

    def _resolved(self, connection: Connection, trace_id: str, *also_in: Column[str]) -> str:
        ids = held_ids(connection, trace_id, TRACES.c.id, *also_in)
        if len(ids) == 1:
            return ids[0]
        if not ids:
            raise NotInStore(f"the store {self.name} has no trace {trace_id!r}: list what it has")
        raise NotInStore(f"{trace_id!r} fits several traces, such as {ids[0]} and {ids[1]}")

    def _pair(self, connection: Connection, pair_id: str) -> Pair:
        body = connection.execute(select(PAIRS.c.body).where(PAIRS.c.id == pair_id)).scalar()
        if body is None:
            raise NotInStore(f"the store {self.name} has no pair {pair_id!r}: list what it has")
        return self._decoded(pair_of, body, f"pair {pair_id}")

    def _bodies(self, table: Table, query: Any) -> Iterator[bytes]:
        """Bodies in the order of `query`, which selects sequences."""
        wanted = self._read(lambda connection: list(connection.execute(query).scalars()))
        for start in range(0, len(wanted), _PAGE):
            page = wanted[start : start + _PAGE]
            bodies = select(table.c.sequence, table.c.body).where(table.c.sequence.in_(page))
            rows = self._read(lambda connection, bodies=bodies: list(connection.execute(bodies)))
            by_sequence = {row.sequence: row.body for row in rows}
            yield from (by_sequence[each] for each in page if each in by_sequence)

    def _decoded(self, decode: Callable[[bytes], Result], body: bytes, what: str) -> Result:
        try:
            return decode(body)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{what} in the store {self.name} cannot be read: {error}") from error


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)
