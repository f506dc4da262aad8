from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.dialects.sqlite import dialect

from appliance.domain.request import Origin
from appliance.domain.trace import Decision, Outcome, Trace
from appliance.errors import InvalidRequest, LedgerError
from appliance.gateway.traces import dump
from appliance.ledger.database import Database
from appliance.ledger.trace_query import TraceQuery
from appliance.ledger.trace_store import TraceStore
from tests.fakes.traces import repaired_trace
from tests.ledger.places import Place, execute


def on(place: Place, work: Callable[[TraceStore], Awaitable[None]]) -> None:
    async def main() -> None:
        with closing(Database(place)) as database:
            await work(TraceStore(database))

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


def test_saving_again_replaces(ledger_place: Place) -> None:
    async def work(store: TraceStore) -> None:
        await store.save(trace(1))
        await store.save(replace(trace(1), error="late"))
        found = await store.get("t001")
        assert found is not None
        assert found.error == "late"
        assert len((await store.page(TraceQuery("default"))).traces) == 1

    on(ledger_place, work)


def test_many_saves_at_once_are_all_there(ledger_place: Place) -> None:
    async def work(store: TraceStore) -> None:
        await asyncio.gather(*(store.save(trace(number)) for number in range(500)))
        assert len((await store.page(TraceQuery("default", limit=1000))).traces) == 500

    on(ledger_place, work)


def test_a_page_has_the_newest_traces_first(ledger_place: Place) -> None:
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

    on(ledger_place, work)


def test_pages_follow_each_other_also_where_moments_are_the_same(ledger_place: Place) -> None:
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

    on(ledger_place, work)


@pytest.mark.parametrize("cursor", ["", "t001", "nan~t001", "1000~", "x~t001"])
def test_a_cursor_that_is_none_is_refused(ledger_place: Place, cursor: str) -> None:
    async def work(store: TraceStore) -> None:
        with pytest.raises(InvalidRequest, match="take next_cursor of the page before"):
            await store.page(TraceQuery("default", cursor=cursor))

    on(ledger_place, work)


def test_filters_by_tenant_moment_outcome_and_strategy(ledger_place: Place) -> None:
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

    on(ledger_place, work)


def test_lists_and_traces_are_found_by_an_index(tmp_path: Path) -> None:
    file = tmp_path / "l"
    on(file, lambda store: store.save(trace(1)))
    query = TraceQuery("default", since_unix_s=1.0, outcome=Outcome.OK, strategy="direct", cursor="9.0~t")
    listed = str(query.statement().compile(dialect=dialect(), compile_kwargs={"literal_binds": True}))
    assert "USING INDEX traces_of_tenant (tenant=? AND" in _query_plan(file, listed)
    assert "USING INDEX sqlite_autoindex_traces_1" in _query_plan(file, "select body from traces where trace_id = 't'")
    older = "select trace_id from traces where created_unix_s < 5.0 limit 256"
    assert "USING INDEX traces_by_time" in _query_plan(file, older)


def test_a_trace_of_the_first_appliance_can_be_read(ledger_place: Place) -> None:
    on(ledger_place, lambda store: store.save(repaired_trace()))
    _set_body(ledger_place, (Path(__file__).parent / "first_trace.json").read_text(encoding="utf-8"))

    async def read(store: TraceStore) -> None:
        found = await store.get("0f" * 16)
        assert found is not None
        assert (found.question, len(found.calls), found.request) == ("What is …?", 8, None)
        assert (found.gpu_s, found.origin, found.calls[0].finish_reason) == (0.0, Origin(), None)

    on(ledger_place, read)


def test_a_trace_that_can_not_be_read_says_why_and_nothing_of_its_contents(ledger_place: Place) -> None:
    on(ledger_place, lambda store: store.save(repaired_trace()))
    _set_body(ledger_place, dump(repaired_trace()).decode().replace('"outcome":"ok"', '"outcome":"QEXAR"'))

    async def read(store: TraceStore) -> None:
        with pytest.raises(LedgerError, match=r"stored by another version.*\(tasks\.0\.outcome: ") as refused:
            await store.get("0f" * 16)
        assert "QEXAR" not in str(refused.value)

    on(ledger_place, read)


def test_pruning_deletes_what_is_older(ledger_place: Place) -> None:
    async def work(store: TraceStore) -> None:
        for number in range(4):
            await store.save(trace(number))
        assert await store.prune(1002.0, 0.0) == 2
        assert await ids(store, TraceQuery("default")) == ["t003", "t002"]

    on(ledger_place, work)


def test_a_cancelled_save_harms_no_other(ledger_place: Place) -> None:
    async def work(store: TraceStore) -> None:
        saves = [asyncio.create_task(store.save(trace(number))) for number in range(20)]
        await asyncio.sleep(0)
        saves[3].cancel()
        outcomes = await asyncio.gather(*saves, return_exceptions=True)
        assert sum(outcome is None for outcome in outcomes) >= 19

    on(ledger_place, work)


def test_a_failed_write_is_told_to_every_save_of_its_group_without_contents(ledger_place: Place) -> None:
    async def work(store: TraceStore) -> None:
        await store.save(trace(0))
        execute(ledger_place, "drop table traces")
        secret = replace(trace(1), question="secret")
        for outcome in await asyncio.gather(store.save(secret), store.save(secret), return_exceptions=True):
            assert isinstance(outcome, LedgerError)
            assert "secret" not in str(outcome)

    on(ledger_place, work)


def _set_body(place: Place, body: str) -> None:
    with closing(Database(place)) as database, database.begin() as connection:
        connection.execute(text("update traces set body = :body"), {"body": body})


def _query_plan(file: Path, statement: str) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return "; ".join(row[-1] for row in connection.execute(f"explain query plan {statement}"))
