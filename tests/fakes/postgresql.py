"""A throw-away PostgreSQL: a cluster in a temporary directory, on a Unix socket, under an account that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

REQUIRE = "APPLIANCE_REQUIRE_POSTGRESQL"
"""Set in CI: tests then fail where PostgreSQL is missing, and are not skipped."""
MISSING = "PostgreSQL is not installed (Debian: apt-get install postgresql)"

_OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=60"


def programs() -> Path | None:
    """The directory of `initdb` and `pg_ctl`, the newest version's."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    return Path(found).parent if found else None


class Cluster:
    """A running server. Every `database()` is a new and empty one."""

    def __init__(self, socket_dir: Path) -> None:
        self._socket_dir = socket_dir
        self._numbers = count(1)

    def url(self, database: str = "postgres") -> str:
        """For SQLAlchemy and psycopg alike."""
        return f"postgresql://owner@/{database}?host={self._socket_dir}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a database that is dropped afterwards, whoever is still connected."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
            try:
                yield self.url(name)
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def running(bin_dir: Path) -> Iterator[Cluster]:
    """A new cluster, stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    account = _account()
    if account is not None:
        shutil.chown(folder, account)
    try:
        _run(
            bin_dir,
            account,
            "initdb",
            "-D",
            f"{folder}/data",
            "-U",
            "owner",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        )
        control = ("pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-w")
        _run(bin_dir, account, *control, "-o", f"-k {folder} {_OPTIONS}", "start")
        try:
            yield Cluster(folder)
        finally:
            _run(bin_dir, account, *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> str | None:
    """Who runs it: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _run(bin_dir: Path, account: str | None, program: str, *arguments: str) -> None:
    subprocess.run(
        [bin_dir / program, *arguments],
        check=True,
        user=account,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        env={"PATH": os.environ.get("PATH", "/usr/bin"), "LC_ALL": "C"},
    )
