"""How a watcher follows the store: what has been stored since it last looked, each trace once.

PostgreSQL may commit sequences out of order, so the latest ones are looked at again every time, and
the cursor remembers which of them it has seen.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from .store_query import SUMMARY_COLUMNS, TraceSummary, summary_of
from .store_schema import TRACES

_OVERLAP = 1024
"""Sequences that are looked at again."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a watcher has read; made by the store."""

    sequence: int = 0
    """The highest sequence seen."""

    recent: frozenset[int] = frozenset()
    """Sequences seen among the latest."""

    @classmethod
    def at_end(cls, connection: Connection) -> "Cursor":
        """After all that is stored now."""
        query = select(TRACES.c.sequence).order_by(TRACES.c.sequence.desc()).limit(_OVERLAP)
        latest = frozenset(connection.execute(query).scalars())
        return cls(max(latest, default=0), latest)

    def read(self, connection: Connection, limit: int) -> tuple[list[TraceSummary], "Cursor"]:
        """At most `limit` traces stored since, in order of storing, and the cursor after them."""
        query = (
            select(*SUMMARY_COLUMNS)
            .where(TRACES.c.sequence > self.sequence - _OVERLAP)
            .where(TRACES.c.sequence.not_in(self.recent))
            .order_by(TRACES.c.sequence)
            .limit(limit)
        )
        found = [summary_of(row) for row in connection.execute(query)]
        sequences = {each.sequence for each in found}
        high = max(sequences | {self.sequence})
        recent = (seen for seen in self.recent | sequences if seen > high - _OVERLAP)
        return found, Cursor(high, frozenset(recent))
