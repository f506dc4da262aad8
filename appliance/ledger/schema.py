"""Tables of the ledger, as the newest revision under `migrations/` leaves them."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text

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
    Index("traces_by_time", "created_unix_s"),
    # With all that a list filters by, so that lines of other outcomes are passed over without reading their bodies.
    Index("traces_of_tenant", "tenant", "created_unix_s", "trace_id", "strategy", "outcome"),
)
