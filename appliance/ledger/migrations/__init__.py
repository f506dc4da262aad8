"""The layout of the ledger, step by step: Alembic's revisions, applied when a ledger is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from appliance.errors import ConfigError

VERSION_TABLE: Final = "ledger_revision"
"""Not Alembic's own name, which another program's tables in the same database may have taken."""
FIRST_TABLE: Final = "schema_version"
"""What ledgers had before there were revisions."""

_LOCK: Final = 7_025_510_861
"""PostgreSQL's advisory lock under which one replica upgrades and the others wait."""


def upgrade(connection: Connection, name: str) -> None:
    """Bring the database to the newest layout, within the caller's transaction: all of it or nothing.

    Raises ConfigError for what is no ledger and for one of a newer appliance; `name` is for its message.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config = _config(connection)
    script = ScriptDirectory.from_config(config)
    found = _revision(connection, name)
    if found == script.get_current_head():
        return
    if found is not None and found not in {revision.revision for revision in script.walk_revisions()}:
        raise ConfigError(
            f"{name}: written by a newer appliance (revision {found}), which this one can't read; "
            "run that one, or restore the backup that was made before it"
        )
    command.upgrade(config, "head")


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection, name: str) -> str | None:
    """The ledger's revision; None for an empty database, and for a ledger from before there were revisions."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE in tables:
        return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608 (a constant)
    if FIRST_TABLE in tables:
        _check_first(connection, name)
    elif tables:
        raise ConfigError(f"{name}: not a ledger of this appliance; name another under ledger.file or ledger.url")
    return None


def _check_first(connection: Connection, name: str) -> None:
    found = connection.execute(text(f"SELECT version FROM {FIRST_TABLE}")).scalars().all()  # noqa: S608 (a constant)
    if found != [1]:
        versions = ", ".join(map(str, found)) or "none"
        raise ConfigError(
            f"{name}: schema version {versions}, which no appliance wrote that this one knows; "
            "run the appliance that wrote it, or name another under ledger.file or ledger.url"
        )
