"""One row for each engine call: what it consumed, and on what terms it is charged; traces with an end of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_usage_audit"
down_revision = "0001_traces"


def upgrade() -> None:
    """Make the table and its indexes."""
    op.add_column("traces", sa.Column("delete_after_unix_s", sa.Float(), nullable=True))
    ends = sa.text("delete_after_unix_s IS NOT NULL")
    op.create_index("traces_by_end", "traces", ["delete_after_unix_s"], sqlite_where=ends, postgresql_where=ends)
    op.create_table(
        "usage",
        sa.Column("trace_id", sa.String(), nullable=False, primary_key=True),
        sa.Column("call_id", sa.String(), nullable=False, primary_key=True),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("started_unix_s", sa.Float(), nullable=False),
        sa.Column("queue_s", sa.Float(), nullable=False),
        sa.Column("engine_s", sa.Float(), nullable=False),
        sa.Column("first_token_s", sa.Float(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("usage_estimated", sa.Boolean(), nullable=False),
        sa.Column("gpu_s", sa.Float(), nullable=False),
        sa.Column("energy_j", sa.Float(), nullable=True),
        sa.Column("price_per_gpu_hour", sa.Float(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("finish_reason", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("requested_model", sa.String(), nullable=True),
        sa.Column("path", sa.String(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("traceparent", sa.String(), nullable=True),
    )
    op.create_index("usage_by_time", "usage", ["started_unix_s"])
    op.create_index(
        "pass_through_of_tenant",
        "usage",
        ["tenant", "started_unix_s", "trace_id"],
        sqlite_where=sa.text("status IS NOT NULL"),
        postgresql_where=sa.text("status IS NOT NULL"),
    )
