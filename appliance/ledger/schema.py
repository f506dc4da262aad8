"""Tables of the ledger, as the newest revision under `migrations/` leaves them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, text

metadata = MetaData()

traces = Table(
    "traces",
    metadata,
    Column("trace_id", String, primary_key=True),
    Column("request_id", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("requested_model", String, nullable=False),
    Column("strategy", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("total_tokens", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("delete_after_unix_s", Float),
    Index("traces_by_time", "created_unix_s"),
    Index(
        "traces_by_end",
        "delete_after_unix_s",
        sqlite_where=text("delete_after_unix_s IS NOT NULL"),
        postgresql_where=text("delete_after_unix_s IS NOT NULL"),
    ),
    # With all that a list filters by, so that lines of other outcomes are passed over without reading their bodies.
    Index("traces_of_tenant", "tenant", "created_unix_s", "trace_id", "strategy", "outcome"),
)

# One row for each engine call. Those of the fast path, which has no trace, bear what its trace is made of: the columns
# from `requested_model` on, which are empty for all others.
usage = Table(
    "usage",
    metadata,
    Column("trace_id", String, primary_key=True),
    Column("call_id", String, primary_key=True),
    Column("request_id", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("strategy", String, nullable=False),
    Column("role", String, nullable=False),
    Column("model", String, nullable=False),
    Column("engine", String, nullable=False),
    Column("node", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_unix_s", Float, nullable=False),
    Column("queue_s", Float, nullable=False),
    Column("engine_s", Float, nullable=False),
    Column("first_token_s", Float),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("usage_estimated", Boolean, nullable=False),
    Column("gpu_s", Float, nullable=False),
    Column("energy_j", Float),
    Column("price_per_gpu_hour", Float),
    Column("currency", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("finish_reason", String),
    Column("error", String, nullable=False),
    Column("requested_model", String),
    Column("path", String),
    Column("status", Integer),
    Column("traceparent", String),
    Index("usage_by_time", "started_unix_s"),
)
Index(
    "pass_through_of_tenant",
    *(usage.c.tenant, usage.c.started_unix_s, usage.c.trace_id),
    sqlite_where=text("status IS NOT NULL"),
    postgresql_where=text("status IS NOT NULL"),
)
