"""Tables of the ledger, as the newest revision under `migrations/` leaves them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

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

tenants = Table(
    "tenants",
    metadata,
    Column("name", String, primary_key=True),
    Column("policy", String, nullable=False),
    Column("labels", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    Column("disabled_unix_s", Float),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("tenant", String, ForeignKey("tenants.name"), nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    Column("expires_unix_s", Float),
    Column("revoked_unix_s", Float),
    Column("replaced_by", String),
)

# One row. `version` grows with each change of tenants and keys, so that a running appliance reads them only then.
access_state = Table(
    "access_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("pepper_check", String, nullable=False),
)

quota_shares = Table(
    "quota_shares",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("process", String, primary_key=True),
    Column("share", Float, nullable=False),
    Column("wanted", Float, nullable=False),
    Column("renewed_unix_s", Float, nullable=False),
)

quota_spent = Table(
    "quota_spent",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("period", String, primary_key=True),
    Column("gpu_s", Float, nullable=False),
)
