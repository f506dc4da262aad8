"""`POST /v1/plan`: the forecast of a chat completion's body."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.door import call, chat, house


def test_the_forecast_is_a_document_and_nothing_runs() -> None:
    built = house()
    reply = call(built.app, "POST", "/v1/plan", chat(budget={"calls": 4}))
    assert reply.status == 200
    plan = reply.json()
    assert (plan["object"], plan["strategy"]) == ("plan.forecast", "plan_execute_verify")
    assert plan["tokens"] == {"p50": 155.0, "p95": 312.5}
    assert plan["by_call"][0]["prompt_tokens"] == 31.26
    assert plan["reduced"] == [{"step": "no verification", "reason": "about 5 calls are needed, the request has 4"}]
    (request,) = built.coordinator.requests
    assert request.budget.calls == 4


@pytest.mark.parametrize(("body", "param"), [({"budget": {"calls": 0}}, "budget.calls"), ({"model": ""}, "model")])
def test_a_wrong_body_is_refused_as_for_a_completion(body: dict[str, Any], param: str) -> None:
    reply = call(house().app, "POST", "/v1/plan", chat(**body))
    assert (reply.status, reply.error["param"]) == (400, param)


def test_a_key_is_needed() -> None:
    assert call(house().app, "POST", "/v1/plan", chat(), headers=[]).status == 401
