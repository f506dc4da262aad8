"""Traces over HTTP."""

from __future__ import annotations

from appliance.gateway.traces import dump, load
from tests.fakes.traces import repaired_trace
from tests.gateway.door import House, call


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
