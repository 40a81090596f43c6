"""Traces, their channels and interventions, and preference pairs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables, as `store_schema` had them then."""
    sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    id_type = sa.String().with_variant(sa.String(collation="C"), "postgresql")

    op.create_table(
        "traces",
        sa.Column("sequence", sequence, primary_key=True, autoincrement=True),
        sa.Column("id", id_type, nullable=False, unique=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("duration_s", sa.Double, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("detector", sa.String, nullable=False),
        sa.Column("policy", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("finish_reason", sa.String, nullable=False),
        sa.Column("scanned", sa.String, nullable=False),
        sa.Column("num_tokens", sa.Integer, nullable=False),
        sa.Column("num_interventions", sa.Integer, nullable=False),
        sa.Column("num_rolled_back", sa.Integer, nullable=False),
        sa.Column("leaked_tokens", sa.Integer, nullable=False),
        sa.Column("wait_tokens", sa.Integer, nullable=False),
        sa.Column("max_score", sa.Double),
        sa.Column("topic", sa.String),
        sa.Column("redacted", sa.Boolean, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("traces_by_time", "traces", ["created_us"])
    op.create_index("traces_by_score", "traces", ["max_score"])
    op.create_index("traces_by_action", "traces", ["action", "created_us"])
    op.create_index("traces_by_model", "traces", ["model", "created_us"])

    def trace_id() -> sa.Column[str]:
        parent = sa.ForeignKey("traces.id", ondelete="CASCADE")
        return sa.Column("trace_id", id_type, parent, primary_key=True)

    op.create_table(
        "trace_channels",
        trace_id(),
        sa.Column("channel", sa.String, primary_key=True),
        sa.Column("max_score", sa.Double),
        sa.Column("action", sa.String, nullable=False),
    )
    op.create_table(
        "interventions",
        trace_id(),
        sa.Column("ordinal", sa.Integer, primary_key=True),
        sa.Column("channel", sa.String, nullable=False),
        sa.Column("step_index", sa.Integer, nullable=False),
        sa.Column("probability", sa.Double),
        sa.Column("trigger_id", sa.String),
        sa.Column("trigger_kind", sa.String),
        sa.Column("succeeded", sa.Boolean),
        sa.Column("num_rolled_back", sa.Integer, nullable=False),
        sa.Column("num_injected", sa.Integer, nullable=False),
    )
    op.create_index("interventions_by_trigger", "interventions", ["trigger_id", "succeeded"])

    op.create_table(
        "pairs",
        sa.Column("sequence", sequence, primary_key=True, autoincrement=True),
        sa.Column("id", id_type, nullable=False, unique=True),
        sa.Column("trace_id", id_type, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("trigger_id", sa.String),
        sa.Column("probability", sa.Double),
        sa.Column("topic", sa.String),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("pairs_by_trace", "pairs", ["trace_id"])
    op.create_index("pairs_by_time", "pairs", ["created_us"])
    op.create_index("pairs_by_complete", "pairs", ["complete", "model"])
