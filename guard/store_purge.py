"""Deleting for good: what is purged leaves neither rows nor readable bytes in the SQLite files.

On PostgreSQL the rows are deleted and vacuumed; the server's own logs and backups are its
administrator's.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Connection, Engine, delete, select
from sqlalchemy.exc import SQLAlchemyError

from .store_query import cleaned, microseconds
from .store_schema import PAIRS, TRACES

_IDS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge took away."""

    traces: int
    """How many."""

    pairs: int
    """How many."""

    wiped: bool
    """Whether the bytes are gone from the files too. If not, another process was reading; they go
    with the next purge, or when the last process closes the store."""


def delete_rows(
    connection: Connection,
    *,
    before: datetime | None,
    ids: Sequence[str] | None,
    keep_pairs: bool,
) -> tuple[int, int]:
    """Deletes traces, what hangs on them, and their pairs; counts of both.

    Both `before` and `ids` being `None` means everything. Pairs whose trace has been purged earlier
    go by their own age.
    """
    conditions: list[ColumnElement[bool]] = []
    if before is not None:
        conditions.append(TRACES.c.created_us < microseconds(before))
    chunks = [None] if ids is None else _chunks(ids)
    num_traces = num_pairs = 0
    for chunk in chunks:
        named = [] if chunk is None else [TRACES.c.id.in_(chunk)]
        if not keep_pairs:
            of_trace = [] if chunk is None else [PAIRS.c.trace_id.in_(chunk)]
            aged = [] if before is None else [PAIRS.c.created_us < microseconds(before)]
            num_pairs += connection.execute(delete(PAIRS).where(*of_trace, *aged)).rowcount
        num_traces += connection.execute(delete(TRACES).where(*conditions, *named)).rowcount
    return num_traces, num_pairs


def wipe(engine: Engine) -> bool:
    """Gives freed space back and empties the write-ahead log; whether both could be done.

    Deleted rows have been overwritten already (`secure_delete`); the log still held them.
    """
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            if connection.dialect.name == "postgresql":
                raw.execute("VACUUM traces, trace_channels, interventions, pairs")
                return True
            busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            raw.execute("VACUUM")
            return not (busy or raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
    except (SQLAlchemyError, sqlite3.Error):
        return False


def held_ids(connection: Connection, prefix: str, *columns: Column[str]) -> list[str]:
    """One or two of the ids in `columns` that begin with `prefix`; an exact one alone."""
    prefix = cleaned(prefix)
    if not prefix:
        return []
    # Ids compare byte by byte on both databases, so a beginning is a range of the index.
    upper = prefix + chr(0x10FFFF)
    found: set[str] = set()
    for column in columns:
        ids = select(column).distinct().where(column >= prefix, column < upper)
        found.update(connection.execute(ids.order_by(column).limit(2)).scalars())
    return [prefix] if prefix in found else sorted(found)[:2]


def _chunks(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE)]
