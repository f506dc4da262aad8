"""The ledger's database: a SQLite file (WAL) or PostgreSQL, brought to this version's layout when it is opened.

All writes of a process go through one thread, in the order in which they were asked for; reads that need not see the
latest of them (reports) have a thread of their own, so that no answer waits for them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from appliance.errors import ConfigError, LedgerError

T = TypeVar("T")

POSTGRESQL: Final = "postgresql"

_SQLITE_PRAGMAS = ("busy_timeout=10000", "journal_mode=WAL", "synchronous=NORMAL")
_LOCKED_S, _LOOK_AGAIN_S = 10.0, 0.02
_CONNECT_TIMEOUT_S = 10
_READS_ONLY = "reads_only"
_WAY_OUT = "move it away, or name another under ledger.file or ledger.url"


class Database:
    """One open ledger. `place` is a path, or an SQLAlchemy URL (anything with `://`) of SQLite or PostgreSQL.

    Raises ConfigError when it can't be opened, is no ledger, or a newer appliance wrote it. Whatever fails later is a
    LedgerError, which never shows contents or a password.
    """

    def __init__(self, place: str | Path) -> None:
        url = _url(place)
        self.name = _name(url)
        self._engine = _engine(url)
        self._reading = self._engine.execution_options(**{_READS_ONLY: True})
        self._prepare()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-reader")

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def begin(self, *, reads_only: bool = False) -> Iterator[Connection]:
        """One transaction in the calling thread. Raises LedgerError."""
        try:
            with (self._reading if reads_only else self._engine).begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise LedgerError(f"the ledger {self.name} failed: {_reason(error)}") from None

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Let the writing thread do `work`, after all that was asked for before."""
        return self._writer.submit(work)

    async def run(self, work: Callable[[Connection], T], *, reads_only: bool = False) -> T:
        """`work` in one transaction of the writing thread; it sees all that was asked for before it."""
        return await asyncio.wrap_future(self._writer.submit(self._in_transaction, work, reads_only))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """`work` beside the writing thread; it sees what is committed."""
        return await asyncio.wrap_future(self._reader.submit(self._in_transaction, work, True))

    def close(self) -> None:
        """Do what was asked for and close; blocks. Nothing else may be called afterwards."""
        self._reader.shutdown()
        self._writer.shutdown()
        self._engine.dispose()

    def _in_transaction(self, work: Callable[[Connection], T], reads_only: bool) -> T:
        with self.begin(reads_only=reads_only) as connection:
            return work(connection)

    def _prepare(self) -> None:
        # Alembic takes 0.2 s to import, which only those shall pay who open a ledger.
        from appliance.ledger import migrations

        try:
            with self._engine.begin() as connection:
                migrations.upgrade(connection, self.name)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise ConfigError(f"{self.name}: can't be opened as a ledger ({_reason(error)}); {_WAY_OUT}") from None
        except ConfigError:
            self._engine.dispose()
            raise


def _url(place: str | Path) -> URL:
    if "://" not in str(place):
        return URL.create("sqlite", database=str(_private_file(Path(place))))
    try:
        url = make_url(str(place))
    except ArgumentError:
        raise ConfigError("ledger.url: not a URL; write postgresql://user@host/database") from None
    backend = "postgresql" if url.drivername == "postgres" else url.get_backend_name()
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        return URL.create("sqlite", database=str(_private_file(Path(str(url.database)))))
    if backend == POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    raise ConfigError(
        f"ledger.url: {url.drivername}: a ledger is a SQLite file or a PostgreSQL database; "
        "write postgresql://user@host/database, or name a file under ledger.file"
    )


def _name(url: URL) -> str:
    """For messages: without the password."""
    return str(url.database) if url.drivername == "sqlite" else url.set(drivername=POSTGRESQL).render_as_string()


def _private_file(path: Path) -> Path:
    """Make the file readable by its owner only: it may hold prompts."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise ConfigError(f"{path}: can't be made ({error.strerror}); name another file under ledger.file") from None
    return path


def _engine(url: URL) -> Engine:
    """Two connections: one to write, one to read beside it."""
    sqlite = url.drivername == "sqlite"
    arguments: dict[str, Any] = {"check_same_thread": False} if sqlite else {"connect_timeout": _CONNECT_TIMEOUT_S}
    engine = create_engine(
        url,
        pool_size=2,
        max_overflow=0,
        pool_pre_ping=not sqlite,  # a PostgreSQL that was started anew costs nothing but a new connection
        connect_args=arguments,
        hide_parameters=True,
    )
    if sqlite:
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, and not before some statements
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        _until_unlocked(partial(cursor.execute, f"PRAGMA {pragma}"))
    cursor.close()


def _until_unlocked(work: Callable[[], object]) -> None:
    """SQLite does not wait where another process is about to write while the journal's mode changes: it says so."""
    ends_s = time.monotonic() + _LOCKED_S
    while True:
        try:
            work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= ends_s:
                raise
            time.sleep(_LOOK_AGAIN_S)
        else:
            return


def _begin(connection: Connection) -> None:
    """What will write takes its turn at once: what reads first may find, when it comes to writing, the file changed."""
    reads_only = connection.get_execution_options().get(_READS_ONLY)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _reason(error: SQLAlchemyError) -> str:
    """The driver's first line: those after it may quote a row."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
