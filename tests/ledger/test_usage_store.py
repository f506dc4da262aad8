from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from appliance.domain.model import Role
from appliance.domain.request import Origin, Usage
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.trace import Outcome
from appliance.errors import InvalidRequest
from appliance.ledger.database import Database
from appliance.ledger.trace_query import TraceQuery
from appliance.ledger.trace_store import TraceStore
from appliance.ledger.usage_query import GroupBy, UsageLine, UsageQuery, parse_groups
from appliance.ledger.usage_store import UsageStore
from tests.fakes.polling import until
from tests.fakes.traces import repaired_trace
from tests.fakes.usage import FixedTerms, passed_through
from tests.ledger.places import Place, execute, number_of

Work = Callable[[UsageStore, TraceStore], Awaitable[None]]
DAY_S = 86_400


def on(place: Place, work: Work, terms: FixedTerms | None = None) -> None:
    async def main() -> None:
        with closing(Database(place)) as database:
            usage = UsageStore(database, terms or FixedTerms())
            await work(usage, TraceStore(database, usage))

    asyncio.run(main())


async def by(usage: UsageStore, *groups: str, tenant: str | None = None) -> dict[tuple[str, ...], UsageLine]:
    lines = await usage.report(UsageQuery(parse_groups(",".join(groups)), tenant=tenant))
    return {tuple(line.group.values()): line for line in lines}


def test_a_trace_and_what_its_calls_consumed_are_written_together(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        trace = repaired_trace("t1")
        trace = replace(trace, calls=tuple(replace(call, gpu_s=0.5) for call in trace.calls))
        await traces.save(trace)
        (line,) = (await by(usage)).values()
        sent = [call for call in trace.calls if call.engine_id]
        assert (line.requests, line.calls, line.group) == (1, len(sent), {})
        assert line.prompt_tokens == sum(call.usage.prompt_tokens for call in sent)
        assert line.completion_tokens == sum(call.usage.completion_tokens for call in sent)
        assert line.gpu_s == pytest.approx(0.5 * len(sent))
        assert line.energy_j == pytest.approx(50 * len(sent))
        assert line.cost == pytest.approx(0.5 * len(sent) * 3.6 / 3600)
        assert line.currency == "EUR"
        roles = await by(usage, "role")
        assert {Role(role) for (role,) in roles} == {call.role for call in sent}
        assert sum(found.calls for found in roles.values()) == len(sent)

    on(ledger_place, work)


def test_saving_a_trace_again_charges_nothing_twice(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        await traces.save(repaired_trace("t1"))
        once = await by(usage, "model")
        await asyncio.gather(*(traces.save(repaired_trace("t1")) for _ in range(5)))
        assert await by(usage, "model") == once

    on(ledger_place, work)


def test_a_call_that_reached_no_engine_consumed_nothing(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        trace = repaired_trace("t1")
        await traces.save(replace(trace, calls=(replace(trace.calls[0], engine_id=""),)))
        assert await by(usage) == {}

    on(ledger_place, work)


def test_pass_through_requests_are_written_soon_and_once(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        for number in range(2_500):
            usage.record_pass_through(passed_through(f"p{number}"))
        usage.record_pass_through(replace(passed_through("p1"), usage=Usage(999, 999)))
        (line,) = (await by(usage, "strategy")).values()
        assert (line.group, line.requests, line.calls) == ({"strategy": PASSTHROUGH}, 2_500, 2_500)
        assert (line.prompt_tokens, line.completion_tokens, line.cached_tokens) == (50_000, 12_500, 20_000)

    on(ledger_place, work)


def test_whoever_waits_hears_once_it_is_written(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        written: list[int] = []
        usage.record_pass_through(
            passed_through(), lambda: written.append(number_of(ledger_place, "SELECT count(*) FROM usage"))
        )
        assert not written
        await traces.settled()
        assert written == [1]

    on(ledger_place, work)


def test_pass_through_requests_are_written_without_anybody_asking(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        usage.record_pass_through(passed_through())
        await until(lambda: number_of(ledger_place, "SELECT count(*) FROM usage") == 1)

    on(ledger_place, work)


def test_a_pass_through_request_has_a_trace_of_one_call(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        call = replace(passed_through("p1"), outcome=Outcome.ERROR, status=502, error="the engine broke off")
        usage.record_pass_through(call)
        trace = await traces.get("p1")
        assert trace is not None
        assert await traces.has("p1")
        assert (trace.trace_id, trace.request_id, trace.tenant) == ("p1", "req-p1", "default")
        assert (trace.requested_model, trace.decision.strategy) == ("text", PASSTHROUGH)
        assert trace.created_unix_s == 1000.0
        assert trace.duration_s == pytest.approx(0.1)
        assert (trace.outcome, trace.error, trace.origin) == (Outcome.ERROR, call.error, Origin("00-ab"))
        assert trace.usage == Usage(20, 5, 8)
        (made,) = trace.calls
        assert (made.engine_id, made.queue_s, made.gpu_s) == ("text-0", 0.01, 0.09)
        assert made.first_token_s == pytest.approx(0.03)
        assert made.engine_s == pytest.approx(0.09)
        assert await traces.get("p2") is None

    on(ledger_place, work)


def test_a_list_shows_traces_and_pass_through_requests_page_by_page(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        for number in range(6):
            await traces.save(replace(repaired_trace(f"t{number}"), created_unix_s=1000.0 + 2 * number))
            usage.record_pass_through(passed_through(f"p{number}", started_unix_s=1001.0 + 2 * number))
        usage.record_pass_through(passed_through("other", "acme", 1002.5))
        found, cursor = list[str](), None
        while True:
            page = await traces.page(TraceQuery("default", cursor=cursor, limit=5))
            found += [line.trace_id for line in page.traces]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == [name for number in reversed(range(6)) for name in (f"p{number}", f"t{number}")]
        line = (await traces.page(TraceQuery("acme"))).traces[0]
        assert (line.trace_id, line.calls, line.total_tokens, line.strategy) == ("other", 1, 25, PASSTHROUGH)
        only = await traces.page(TraceQuery("default", strategy=PASSTHROUGH, since_unix_s=1005.0, outcome=Outcome.OK))
        assert [summary.trace_id for summary in only.traces] == ["p5", "p4", "p3", "p2"]
        others = await traces.page(TraceQuery("default", strategy="plan_execute_verify"))
        assert all(summary.trace_id.startswith("t") for summary in others.traces)

    on(ledger_place, work)


def test_a_report_is_of_a_time_and_a_tenant_and_by_day(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        for number in range(4):
            usage.record_pass_through(passed_through(f"p{number}", "acme", 10 * DAY_S + number * DAY_S / 2))
        usage.record_pass_through(passed_through("x", "other", 10 * DAY_S))
        days = await by(usage, "day", tenant="acme")
        assert {key: line.calls for key, line in days.items()} == {("1970-01-11",): 2, ("1970-01-12",): 2}
        query = UsageQuery((GroupBy.TENANT,), 10 * DAY_S + 1, 11 * DAY_S)
        assert [(line.group, line.calls) for line in await usage.report(query)] == [({"tenant": "acme"}, 1)]
        both = await by(usage, "tenant", "model")
        assert {key: line.calls for key, line in both.items()} == {("acme", "text"): 4, ("other", "text"): 1}

    on(ledger_place, work)


def test_the_price_is_that_of_the_time_and_currencies_are_not_added_up(ledger_place: Place) -> None:
    for number, terms in enumerate((FixedTerms(3.6), FixedTerms(7.2), FixedTerms(3.6, "USD"), FixedTerms(None, ""))):

        async def work(usage: UsageStore, traces: TraceStore, name: str = f"p{number}") -> None:
            usage.record_pass_through(passed_through(name))
            await asyncio.wrap_future(usage.settle())

        on(ledger_place, work, terms)

    async def read(usage: UsageStore, traces: TraceStore) -> None:
        lines = await usage.report(UsageQuery(()))
        assert [(line.currency, line.calls) for line in lines] == [("", 1), ("EUR", 2), ("USD", 1)]
        assert [line.cost for line in lines] == [None, pytest.approx(0.09 * 3 * 0.001), pytest.approx(0.09 * 0.001)]

    on(ledger_place, read)


def test_usage_outlives_traces_and_is_pruned_by_groups(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        await traces.save(replace(repaired_trace("t1"), created_unix_s=1000.0))
        for number in range(2_100):
            usage.record_pass_through(passed_through(f"p{number}", started_unix_s=1000.0 + number))
        before = await by(usage)
        assert await traces.prune(2e9, 0.0) == 1
        assert await by(usage) == before
        assert await traces.get("t1") is None
        rows = len([call for call in repaired_trace().calls if call.engine_id])
        assert await usage.prune(1000.0 + 2_050) == 2_050 + rows
        (line,) = (await by(usage)).values()
        assert line.calls == 50
        assert await usage.prune(0.0) == 0

    on(ledger_place, work)


def test_a_trace_with_an_end_of_its_own_is_deleted_then(ledger_place: Place) -> None:
    async def work(usage: UsageStore, traces: TraceStore) -> None:
        await traces.save(replace(repaired_trace("short"), delete_after_unix_s=1_500.0))
        await traces.save(repaired_trace("long"))
        assert await traces.prune(0.0, 1_499.0) == 0
        assert await traces.prune(0.0, 1_500.0) == 1
        assert [await traces.has(name) for name in ("short", "long")] == [False, True]

    on(ledger_place, work)


def test_what_can_not_be_written_waits_and_is_told_once(ledger_place: Place, caplog: pytest.LogCaptureFixture) -> None:
    failures: list[None] = []

    async def main() -> None:
        with closing(Database(ledger_place)) as database:
            usage = UsageStore(database, FixedTerms(), lambda: failures.append(None))
            execute(ledger_place, "ALTER TABLE usage RENAME TO gone")
            for count in range(1_200):
                usage.record_pass_through(passed_through(f"p{count}"))
            for _ in range(2):
                await asyncio.wrap_future(usage.settle())
            execute(ledger_place, "ALTER TABLE gone RENAME TO usage")
            (line,) = (await by(usage)).values()
            assert line.calls == 1_200

    asyncio.run(main())
    assert len(failures) >= 2
    assert len([record for record in caplog.records if "it waits in memory" in record.message]) == 1


def test_nothing_else_can_be_summed_by() -> None:
    with pytest.raises(InvalidRequest, match="by: 'body' is nothing to sum by; use some of tenant, model"):
        parse_groups("model,body")
    assert parse_groups(" model,tenant,,model ") == (GroupBy.MODEL, GroupBy.TENANT)


def test_reports_of_a_time_and_lists_of_a_tenant_are_found_by_an_index(tmp_path: Path) -> None:
    report = "SELECT sum(gpu_s) FROM usage WHERE started_unix_s >= 5"
    listed = "SELECT * FROM usage WHERE tenant = 'a' AND status IS NOT NULL ORDER BY started_unix_s DESC, trace_id DESC"
    with closing(Database(tmp_path / "ledger.sqlite")) as database, database.begin() as connection:
        for statement, index in ((report, "usage_by_time"), (listed, "pass_through_of_tenant")):
            (step, *others) = connection.execute(text(f"EXPLAIN QUERY PLAN {statement} LIMIT 20")).all()
            assert f"USING INDEX {index}" in step[-1]
            assert not others
