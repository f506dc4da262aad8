"""What tests do to a ledger behind the appliance's back."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

Place = Path | str
"""As `Database` takes it."""


def execute(place: Place, *statements: str) -> None:
    """Run statements in one transaction on a connection of its own."""
    with _engine(place).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def number_of(place: Place, query: str) -> int:
    """What a query of one number answers."""
    with _engine(place).connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


def _engine(place: Place) -> Engine:
    url = f"sqlite:///{place}" if isinstance(place, Path) else make_url(place).set(drivername="postgresql+psycopg")
    return create_engine(url, poolclass=NullPool)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """As on a disk without room: what would make a file larger fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
