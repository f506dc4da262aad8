"""Traces over HTTP."""

from __future__ import annotations

from appliance.domain.trace import Outcome
from appliance.errors import LedgerError
from appliance.gateway.traces import dump, load
from appliance.ledger.trace_query import TraceQuery
from tests.fakes.traces import repaired_trace
from tests.gateway.door import KEY, House, call, chat


def test_trace_comes_back_whole() -> None:
    target = House()
    target.traces.traces.append(repaired_trace())
    reply = call(target.app, "GET", f"/v1/traces/{'0f' * 16}")
    assert reply.status == 200
    assert load(reply.body) == repaired_trace()


def test_dump_and_load_are_inverse() -> None:
    assert load(dump(repaired_trace())) == repaired_trace()


def test_unknown_trace_and_that_of_another_tenant_look_the_same() -> None:
    target = House()
    target.traces.traces.append(repaired_trace("1", tenant="somebody"))
    for trace_id in ("1", "2"):
        reply = call(target.app, "GET", f"/v1/traces/{trace_id}")
        assert (reply.status, reply.error["code"]) == (404, "not_found")


def test_newest_first_and_own_ones_only() -> None:
    target = House()
    target.traces.traces += [repaired_trace("1"), repaired_trace("2", tenant="somebody"), repaired_trace("3")]
    listed = call(target.app, "GET", "/v1/traces", query="limit=10").json()["data"]
    assert [line["trace_id"] for line in listed] == ["3", "1"]
    assert listed[0]["strategy"] == "plan_execute_verify"
    assert listed[0]["calls"] == 8


def test_a_page_leads_to_the_next() -> None:
    target = House()
    target.traces.traces += [repaired_trace(str(number)) for number in range(3)]
    first = call(target.app, "GET", "/v1/traces", query="limit=2").json()
    assert (first["has_more"], first["next_cursor"]) == (True, "1700000000.0~1")
    last = call(target.app, "GET", "/v1/traces").json()
    assert (last["has_more"], last["next_cursor"]) == (False, None)


def test_filters_reach_the_ledger_and_wrong_ones_are_named() -> None:
    target = House()
    call(target.app, "GET", "/v1/traces", query="since=12.5&outcome=error&strategy=direct&limit=3&cursor=1~a")
    assert target.traces.queries == [TraceQuery("default", 12.5, Outcome.ERROR, "direct", "1~a", 3)]
    for query in ("since=monday", "outcome=bad", "limit=0"):
        reply = call(target.app, "GET", "/v1/traces", query=query)
        assert (reply.status, reply.error["param"]) == (400, query.partition("=")[0])


def test_the_caller_s_own_trace_is_passed_on_where_it_is_a_sane_one() -> None:
    target = House()
    key = (b"authorization", b"Bearer " + KEY.encode())
    good = b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01"
    for header in (good, b"00-" + b"00" * 16 + b"-" + b"cd" * 8 + b"-01", good.upper(), b"x", good + b"-more"):
        call(target.app, body=chat(), headers=[key, (b"traceparent", header)])
    call(target.app, body=chat())
    assert [origin.traceparent for origin in target.coordinator.origins] == [good.decode(), *[None] * 5]


def test_a_trace_that_can_not_be_read_is_an_error_of_its_own() -> None:
    target = House()
    target.traces.failure = LedgerError("trace 1 was stored by another version")
    reply = call(target.app, "GET", "/v1/traces/1")
    assert (reply.status, reply.error["code"]) == (500, "ledger_error")
    assert "another version" in reply.error["message"]
