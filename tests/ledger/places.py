"""What tests do to a ledger behind the appliance's back."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

Place = Path | str
"""As `Database` takes it."""


def execute(place: Place, *statements: str) -> None:
    """Run statements in one transaction on a connection of its own."""
    url = f"sqlite:///{place}" if isinstance(place, Path) else make_url(place).set(drivername="postgresql+psycopg")
    with create_engine(url, poolclass=NullPool).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
