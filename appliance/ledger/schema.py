"""Tables of the ledger and the version of their layout."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Float, Index, Integer, MetaData, String, Table, Text, insert, inspect, select

from appliance.errors import ConfigError

VERSION = 1

metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

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
)

# With all that a list filters by, so that lines of other outcomes are passed over without reading their bodies.
traces_of_tenant = Index(
    "traces_of_tenant",
    *(traces.c.tenant, traces.c.created_unix_s, traces.c.trace_id, traces.c.strategy, traces.c.outcome),
)


def prepare(connection: Connection, name: str) -> None:
    """Make the tables of a new ledger, or check those of an old one. Raises ConfigError; `name` is for its message."""
    tables = inspect(connection).get_table_names()
    if not tables:
        metadata.create_all(connection)
        connection.execute(insert(schema_version).values(version=VERSION))
        return
    if schema_version.name not in tables:
        raise ConfigError(f"{name}: not a ledger of this appliance; name another file under ledger.file")
    found = connection.execute(select(schema_version.c.version)).scalars().all()
    if found != [VERSION]:
        versions = ", ".join(map(str, found)) or "none"
        raise ConfigError(
            f"{name}: schema version {versions}, but this appliance reads version {VERSION}; "
            "run the appliance that wrote it, or name another file under ledger.file"
        )
    traces_of_tenant.create(connection, checkfirst=True)  # which ledgers of the first appliances don't have
