"""The traces; ledgers of the first appliances are taken over as they are, with every trace."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from appliance.ledger.migrations import FIRST_TABLE

revision = "0001_traces"
down_revision = None


def upgrade() -> None:
    """Make the table, or adopt the one that is there."""
    tables = sa.inspect(op.get_bind()).get_table_names()
    if FIRST_TABLE not in tables:
        _create()
    else:
        # An appliance from before there were revisions says by this that it can't read the file any more.
        op.execute(f"UPDATE {FIRST_TABLE} SET version = 2")  # noqa: S608 (a constant)
    of_tenant = ["tenant", "created_unix_s", "trace_id", "strategy", "outcome"]
    op.create_index("traces_of_tenant", "traces", of_tenant, if_not_exists=True)


def _create() -> None:
    op.create_table(
        "traces",
        sa.Column("trace_id", sa.String(), nullable=False, primary_key=True),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("requested_model", sa.String(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("created_unix_s", sa.Float(), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("total_tokens", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("traces_by_time", "traces", ["created_unix_s"])
