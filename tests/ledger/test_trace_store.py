from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from appliance.domain.trace import Trace
from appliance.errors import ConfigError
from appliance.ledger.trace_store import TraceStore
from tests.fakes.traces import repaired_trace


def on(file: Path, work: Callable[[TraceStore], Awaitable[None]]) -> None:
    async def main() -> None:
        store = TraceStore(file)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


def trace(number: int) -> Trace:
    return replace(repaired_trace(f"t{number:03}"), created_unix_s=1000.0 + number)


def test_a_trace_comes_back_as_it_was_also_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "ledger.sqlite"
    whole = replace(trace(1), question="Wie weiß man „das“?", answer="so")

    async def save(store: TraceStore) -> None:
        await store.save(whole)
        assert await store.get("t001") == whole

    async def read(store: TraceStore) -> None:
        assert await store.get("t001") == whole
        assert await store.get("t002") is None

    on(file, save)
    on(file, read)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_saving_again_replaces(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        await store.save(trace(1))
        await store.save(replace(trace(1), error="late"))
        found = await store.get("t001")
        assert found is not None
        assert found.error == "late"
        assert len(await store.recent()) == 1

    on(tmp_path / "l", work)


def test_many_saves_at_once_are_all_there(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        await asyncio.gather(*(store.save(trace(number)) for number in range(500)))
        assert len(await store.recent(1000)) == 500

    on(tmp_path / "l", work)


def test_recent_traces_newest_first(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        for number in (2, 1, 3):
            await store.save(trace(number))
        newest, next_one = await store.recent(2)
        assert (newest.trace_id, next_one.trace_id) == ("t003", "t002")
        assert (newest.strategy, newest.outcome, newest.calls, newest.total_tokens) == (
            trace(3).decision.strategy,
            trace(3).outcome,
            len(trace(3).calls),
            trace(3).usage.total_tokens,
        )

    on(tmp_path / "l", work)


def test_pruning_deletes_what_is_older(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        for number in range(4):
            await store.save(trace(number))
        assert await store.prune(1002.0) == 2
        assert [summary.trace_id for summary in await store.recent()] == ["t003", "t002"]

    on(tmp_path / "l", work)


def test_a_cancelled_save_harms_no_other(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        saves = [asyncio.create_task(store.save(trace(number))) for number in range(20)]
        await asyncio.sleep(0)
        saves[3].cancel()
        outcomes = await asyncio.gather(*saves, return_exceptions=True)
        assert sum(outcome is None for outcome in outcomes) >= 19

    on(tmp_path / "l", work)


def test_a_failed_write_is_told_to_every_save_of_its_group_without_contents(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        await store.save(trace(0))
        other = sqlite3.connect(tmp_path / "l")
        other.execute("drop table traces")
        other.commit()
        other.close()
        secret = replace(trace(1), question="secret")
        for outcome in await asyncio.gather(store.save(secret), store.save(secret), return_exceptions=True):
            assert isinstance(outcome, SQLAlchemyError)
            assert "secret" not in str(outcome)

    on(tmp_path / "l", work)


def test_a_url_is_taken_as_it_is() -> None:
    async def main() -> None:
        store = TraceStore("sqlite://")
        await store.save(trace(1))
        assert await store.get("t001") == trace(1)
        await store.close()

    asyncio.run(main())


def _write(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "l"
    on(file, lambda store: store.save(trace(1)))
    _write(file, "update schema_version set version = 99")
    with pytest.raises(ConfigError, match="schema version 99, but this appliance reads version 1; run the appliance"):
        TraceStore(file)
    _write(file, "delete from schema_version")
    with pytest.raises(ConfigError, match="schema version none"):
        TraceStore(file)


def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    foreign, noise, folder = tmp_path / "foreign", tmp_path / "noise", tmp_path / "folder"
    _write(foreign, "create table recipes (name text)")
    noise.write_bytes(b"not a database, but long enough to be read as the header of one" * 50)
    folder.mkdir()
    with pytest.raises(ConfigError, match="not a ledger of this appliance"):
        TraceStore(foreign)
    with pytest.raises(ConfigError, match="file is not a database"):
        TraceStore(noise)
    with pytest.raises(ConfigError, match="can't be opened as a ledger"):
        TraceStore(folder)
    with pytest.raises(ConfigError, match="can't be made"):
        TraceStore(noise / "below")
    assert noise.read_bytes().startswith(b"not a database")
