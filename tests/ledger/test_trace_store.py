from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.exc import SQLAlchemyError

from appliance.domain.request import Origin
from appliance.domain.trace import Decision, Outcome, Trace
from appliance.errors import ConfigError, InvalidRequest, LedgerError
from appliance.gateway.traces import dump
from appliance.ledger.trace_query import TraceQuery
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


async def ids(store: TraceStore, query: TraceQuery) -> list[str]:
    return [summary.trace_id for summary in (await store.page(query)).traces]


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
        assert len((await store.page(TraceQuery("default"))).traces) == 1

    on(tmp_path / "l", work)


def test_many_saves_at_once_are_all_there(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        await asyncio.gather(*(store.save(trace(number)) for number in range(500)))
        assert len((await store.page(TraceQuery("default", limit=1000))).traces) == 500

    on(tmp_path / "l", work)


def test_a_page_has_the_newest_traces_first(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        for number in (2, 1, 3):
            await store.save(trace(number))
        newest, next_one = (await store.page(TraceQuery("default", limit=2))).traces
        assert (newest.trace_id, next_one.trace_id) == ("t003", "t002")
        assert (newest.strategy, newest.outcome, newest.calls, newest.total_tokens) == (
            trace(3).decision.strategy,
            trace(3).outcome,
            len(trace(3).calls),
            trace(3).usage.total_tokens,
        )

    on(tmp_path / "l", work)


def test_pages_follow_each_other_also_where_moments_are_the_same(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        for number in range(7):
            await store.save(replace(trace(number), created_unix_s=1000.1 + number // 3))
        found, cursor = [], None
        while True:
            page = await store.page(TraceQuery("default", cursor=cursor, limit=2))
            found.append([summary.trace_id for summary in page.traces])
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == [["t006", "t005"], ["t004", "t003"], ["t002", "t001"], ["t000"]]

    on(tmp_path / "l", work)


@pytest.mark.parametrize("cursor", ["", "t001", "nan~t001", "1000~", "x~t001"])
def test_a_cursor_that_is_none_is_refused(tmp_path: Path, cursor: str) -> None:
    async def work(store: TraceStore) -> None:
        with pytest.raises(InvalidRequest, match="take next_cursor of the page before"):
            await store.page(TraceQuery("default", cursor=cursor))

    on(tmp_path / "l", work)


def test_filters_by_tenant_moment_outcome_and_strategy(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        await store.save(trace(1))
        await store.save(replace(trace(2), tenant="other"))
        await store.save(replace(trace(3), outcome=Outcome.ERROR))
        await store.save(replace(trace(4), decision=Decision("direct", ())))
        assert await ids(store, TraceQuery("default")) == ["t004", "t003", "t001"]
        assert await ids(store, TraceQuery("other")) == ["t002"]
        assert await ids(store, TraceQuery("nobody")) == []
        assert await ids(store, TraceQuery("default", since_unix_s=1003.0)) == ["t004", "t003"]
        assert await ids(store, TraceQuery("default", outcome=Outcome.ERROR)) == ["t003"]
        assert await ids(store, TraceQuery("default", strategy="direct")) == ["t004"]

    on(tmp_path / "l", work)


def test_lists_and_traces_are_found_by_an_index_also_in_a_ledger_of_the_first_appliance(tmp_path: Path) -> None:
    file = tmp_path / "l"
    on(file, lambda store: store.save(trace(1)))
    _write(file, "drop index traces_of_tenant")
    on(file, lambda store: store.save(trace(2)))
    query = TraceQuery("default", since_unix_s=1.0, outcome=Outcome.OK, strategy="direct", cursor="9.0~t")
    listed = str(query.statement().compile(dialect=dialect(), compile_kwargs={"literal_binds": True}))
    assert "USING INDEX traces_of_tenant (tenant=? AND" in _query_plan(file, listed)
    assert "USING INDEX sqlite_autoindex_traces_1" in _query_plan(file, "select body from traces where trace_id = 't'")
    older = "select trace_id from traces where created_unix_s < 5.0 limit 256"
    assert "USING INDEX traces_by_time" in _query_plan(file, older)


def test_a_trace_of_the_first_appliance_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "l"
    on(file, lambda store: store.save(repaired_trace()))
    _set_body(file, (Path(__file__).parent / "first_trace.json").read_text(encoding="utf-8"))

    async def read(store: TraceStore) -> None:
        found = await store.get("0f" * 16)
        assert found is not None
        assert (found.question, len(found.calls), found.request) == ("What is …?", 8, None)
        assert (found.gpu_s, found.origin, found.calls[0].finish_reason) == (0.0, Origin(), None)

    on(file, read)


def test_a_trace_that_can_not_be_read_says_why_and_nothing_of_its_contents(tmp_path: Path) -> None:
    file = tmp_path / "l"
    on(file, lambda store: store.save(repaired_trace()))
    _set_body(file, dump(repaired_trace()).decode().replace('"outcome":"ok"', '"outcome":"QEXAR"'))

    async def read(store: TraceStore) -> None:
        with pytest.raises(LedgerError, match=r"stored by another version.*\(tasks\.0\.outcome: ") as refused:
            await store.get("0f" * 16)
        assert "QEXAR" not in str(refused.value)

    on(file, read)


def test_pruning_deletes_what_is_older(tmp_path: Path) -> None:
    async def work(store: TraceStore) -> None:
        for number in range(4):
            await store.save(trace(number))
        assert await store.prune(1002.0) == 2
        assert await ids(store, TraceQuery("default")) == ["t003", "t002"]

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


def _set_body(file: Path, body: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("update traces set body = ?", (body,))
        connection.commit()


def _query_plan(file: Path, statement: str) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return "; ".join(row[-1] for row in connection.execute(f"explain query plan {statement}"))


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
