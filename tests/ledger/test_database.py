from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from appliance.errors import ConfigError, LedgerError
from appliance.ledger.database import Database
from appliance.ledger.migrations import VERSION_TABLE
from appliance.ledger.schema import metadata
from appliance.ledger.trace_query import TraceQuery
from appliance.ledger.trace_store import TraceStore
from tests.fakes.traces import repaired_trace
from tests.ledger.places import Place, execute, no_file_larger_than

FIRST_LEDGER = Path(__file__).parent / "first_ledger.sql"


def test_the_revisions_make_what_the_schema_says(ledger_place: Place) -> None:
    with closing(Database(ledger_place)) as database, database.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_a_ledger_of_the_first_appliances_is_taken_over_with_every_trace(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(file)) as old:
        old.executescript(FIRST_LEDGER.read_text(encoding="utf-8"))
    for _ in range(2):  # and once more: there is nothing left to do
        with closing(Database(file)) as database:
            store = TraceStore(database)
            found = asyncio.run(store.page(TraceQuery("default"))).traces
            assert [line.trace_id for line in found] == ["t2", "t1"]
            assert asyncio.run(store.get("t1")) is not None
            with database.begin() as connection:
                context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
                assert [change for change in compare_metadata(context, metadata) if change[0] != "remove_table"] == []
                assert connection.execute(text("SELECT version FROM schema_version")).scalar() == 2


def test_a_ledger_of_a_newer_appliance_is_refused_and_left_alone(ledger_place: Place) -> None:
    Database(ledger_place).close()
    execute(ledger_place, f"UPDATE {VERSION_TABLE} SET version_num = '9999_later'")
    with pytest.raises(ConfigError, match=r"newer appliance \(revision 9999_later\).*run that one, or restore"):
        Database(ledger_place)
    execute(ledger_place, f"UPDATE {VERSION_TABLE} SET version_num = '0001_traces' WHERE version_num = '9999_later'")


def test_what_is_no_ledger_is_refused_and_left_alone(ledger_place: Place) -> None:
    execute(ledger_place, "CREATE TABLE recipes (name text)")
    with pytest.raises(ConfigError, match="not a ledger of this appliance; name another"):
        Database(ledger_place)
    execute(ledger_place, "INSERT INTO recipes VALUES ('bread')")


def test_a_file_of_an_unknown_schema_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    execute(file, "CREATE TABLE schema_version (version integer)", "INSERT INTO schema_version VALUES (99)")
    with pytest.raises(ConfigError, match="schema version 99, which no appliance wrote that this one knows"):
        Database(file)


def test_what_can_not_be_opened_is_refused(tmp_path: Path) -> None:
    noise, folder = tmp_path / "noise", tmp_path / "folder"
    noise.write_bytes(b"not a database, but long enough to be read as the header of one" * 50)
    folder.mkdir()
    with pytest.raises(ConfigError, match="file is not a database"):
        Database(noise)
    with pytest.raises(ConfigError, match="can't be opened as a ledger"):
        Database(folder)
    with pytest.raises(ConfigError, match="can't be made"):
        Database(noise / "below")
    assert noise.read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("place", ["sqlite://", "sqlite:///:memory:", "mysql://u@h/d", "oracle+x://h", "a://b:c:d@"])
def test_other_urls_are_refused(place: str) -> None:
    with pytest.raises(ConfigError, match=r"ledger\.url"):
        Database(place)


def test_a_file_may_be_named_by_a_url_too(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path}/deep/l")) as database:
        assert (database.dialect, database.name) == ("sqlite", f"{tmp_path}/deep/l")
    assert (tmp_path / "deep" / "l").stat().st_mode & 0o777 == 0o600


def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be opened as a ledger") as refused:
        Database(f"postgresql://me:QEXAR@/ledger?host={tmp_path}")
    assert "QEXAR" not in str(refused.value)


def test_a_work_that_fails_leaves_nothing_behind(ledger_place: Place) -> None:
    def half(connection: Connection) -> None:
        connection.execute(text("DELETE FROM traces"))
        connection.execute(text("SELECT count(*) FROM nowhere"))

    async def main() -> None:
        with closing(Database(ledger_place)) as database:
            store = TraceStore(database)
            await store.save(repaired_trace("t1"))
            with pytest.raises(LedgerError, match=r"the ledger .* failed: .*nowhere"):
                await database.run(half)
            assert await store.has("t1")

    asyncio.run(main())


def test_a_report_need_not_wait_for_the_writing_thread(ledger_place: Place) -> None:
    def count(connection: Connection) -> int:
        return int(connection.execute(text("SELECT count(*) FROM traces")).scalar_one())

    async def main() -> None:
        with closing(Database(ledger_place)) as database:
            await TraceStore(database).save(repaired_trace("t1"))
            with database.begin() as writing:  # holds the write lock
                writing.execute(text("DELETE FROM traces"))
                assert await database.read(count) == 1

    asyncio.run(main())


def _save(place: Place, worker: int, traces: int) -> None:
    async def main() -> None:
        with closing(Database(place)) as database:
            store = TraceStore(database)
            await asyncio.gather(*(store.save(repaired_trace(f"{worker}-{number}")) for number in range(traces)))

    asyncio.run(main())


def test_several_processes_make_and_write_one_ledger_and_lose_no_row(ledger_place: Place) -> None:
    workers, traces = 3, 50
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as processes:
        for done in [processes.submit(_save, ledger_place, worker, traces) for worker in range(workers)]:
            done.result()
    with closing(Database(ledger_place)) as database, database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM traces")).scalar() == workers * traces


def test_a_damaged_file_is_told_clearly(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    _save(file, 0, 60)
    with file.open("r+b") as opened:
        opened.seek(8192)
        opened.write(b"\xff" * 200_000)

    async def main() -> None:
        told = pytest.raises(LedgerError, match=f"the ledger {file} failed: .*malformed")
        with closing(Database(file)) as database, told:
            await TraceStore(database).page(TraceQuery("default", limit=1000))

    asyncio.run(main())


def test_a_full_disk_is_told_clearly_and_costs_nothing_that_was_written(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"

    def largest() -> int:
        return max(path.stat().st_size for path in tmp_path.iterdir())

    async def main() -> None:
        with closing(Database(file)) as database:
            store = TraceStore(database)
            await store.save(repaired_trace("before"))
            many = [repaired_trace(f"t{number}") for number in range(100)]
            with no_file_larger_than(largest()):
                outcomes = await asyncio.gather(*map(store.save, many), return_exceptions=True)
            failure = outcomes[-1]
            assert isinstance(failure, LedgerError)
            assert f"the ledger {file} failed: " in str(failure)
            await store.save(repaired_trace("after"))
            assert [await store.has(name) for name in ("before", "after")] == [True, True]

    asyncio.run(main())


def test_a_new_file_that_another_process_is_about_to_write_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself does not wait then: it can't change the mode of the journal."""
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        later = threading.Timer(0.2, other.execute, ["COMMIT"])
        later.start()
        with closing(Database(path)) as database:
            assert database.dialect == "sqlite"
        later.join()
