"""The tables of the store, the same on SQLite and PostgreSQL.

What is filtered and sorted by has a column; everything else of a trace, its exact texts and tokens
included, is one compressed body (store_codec.py), because no database has to look inside and a row
a token would make one trace a thousand rows. Columns may hold a cleaned copy of a text (PostgreSQL
takes no NUL, neither takes half a surrogate pair); the body is the truth.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

REVISIONS = ("0001",)
"""Every schema that this version knows, oldest first, as in migrations/versions/. Written down here
so that opening an up-to-date store need not import Alembic (half a second)."""

VERSION_TABLE = "rerail_schema"
"""Where Alembic keeps the revision of a store."""

METADATA = MetaData()
"""All tables."""

_SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")
_ID = String().with_variant(String(collation="C"), "postgresql")
"""Compared byte by byte, so that a shortened id is a range and ids sort by time."""

TRACES = Table(
    "traces",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", _ID, nullable=False, unique=True),
    Column("created_us", BigInteger, nullable=False),
    Column("duration_s", Double, nullable=False),
    Column("model", String, nullable=False),
    Column("detector", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("action", String, nullable=False),
    Column("finish_reason", String, nullable=False),
    Column("scanned", String, nullable=False),
    Column("num_tokens", Integer, nullable=False),
    Column("num_interventions", Integer, nullable=False),
    Column("num_rolled_back", Integer, nullable=False),
    Column("leaked_tokens", Integer, nullable=False),
    Column("wait_tokens", Integer, nullable=False),
    Column("max_score", Double),
    Column("topic", String),
    Column("redacted", Boolean, nullable=False),
    Column("request", Text, nullable=False),
    Column("search", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("traces_by_time", "created_us"),
    Index("traces_by_score", "max_score"),
    Index("traces_by_action", "action", "created_us"),
    Index("traces_by_model", "model", "created_us"),
    sqlite_autoincrement=True,
)
"""`sequence` counts in order of storing and is never used twice: it is what a watcher polls.
`created_us` is in microseconds since 1970, UTC. `request` is the beginning of the last user turn,
for lists; `search` the casefolded request, text and rolled-back text."""

TRACE_CHANNELS = Table(
    "trace_channels",
    METADATA,
    Column("trace_id", _ID, ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True),
    Column("channel", String, primary_key=True),
    Column("max_score", Double),
    Column("action", String, nullable=False),
)
"""What was seen and done in each channel that a trace has."""

INTERVENTIONS = Table(
    "interventions",
    METADATA,
    Column("trace_id", _ID, ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("channel", String, nullable=False),
    Column("step_index", Integer, nullable=False),
    Column("probability", Double),
    Column("trigger_id", String),
    Column("trigger_kind", String),
    Column("succeeded", Boolean),
    Column("num_rolled_back", Integer, nullable=False),
    Column("num_injected", Integer, nullable=False),
    Index("interventions_by_trigger", "trigger_id", "succeeded"),
)
"""Every rollback of every trace, without its text and tokens."""

PAIRS = Table(
    "pairs",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", _ID, nullable=False, unique=True),
    Column("trace_id", _ID, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("model", String, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("trigger_id", String),
    Column("probability", Double),
    Column("topic", String),
    Column("body", LargeBinary, nullable=False),
    Index("pairs_by_trace", "trace_id"),
    Index("pairs_by_time", "created_us"),
    Index("pairs_by_complete", "complete", "model"),
    sqlite_autoincrement=True,
)
"""No foreign key to the trace: a purge may keep the pairs and drop the traces."""
