"""What a caller is told of its limits, through the real coordinator and over the real application."""

from __future__ import annotations

import time

import pytest

from appliance.access.limits import Limits
from appliance.domain.policy import DataPolicy, TenantLimits, TenantPolicy
from appliance.domain.tenant import Tenant
from appliance.errors import LimitReached
from tests.gateway.door import House, call, chat


def limits(**said: float) -> Limits:
    return Limits(DataPolicy(policies={"default": TenantPolicy(limits=TenantLimits(**said))}))  # type: ignore[arg-type]  # the fields are named by each test


def test_answers_say_what_is_left() -> None:
    kept = limits(requests_per_min=3, tokens_per_min=1000)
    app = House(rate_limits=kept.headers).app
    head = call(app, body=chat()).headers
    assert head["x-ratelimit-limit-requests"] == "3"
    assert head["x-ratelimit-remaining-requests"] == "3"
    assert head["x-ratelimit-reset-requests"] == "0s"
    assert head["x-ratelimit-limit-tokens"] == "1000"
    for _ in range(5):  # the fourth and fifth are refused
        kept.admit(Tenant("default"), 100, time.monotonic())
    head = call(app, body=chat()).headers
    assert head["x-ratelimit-remaining-requests"] == "0"
    assert head["x-ratelimit-remaining-tokens"] == "700"
    assert 59 < float(head["x-ratelimit-reset-requests"].rstrip("s")) <= 60


def test_without_limits_nothing_is_said() -> None:
    head = call(House(rate_limits=limits().headers).app, body=chat()).headers
    assert not [name for name in head if name.startswith("x-ratelimit")]


def test_before_a_caller_is_known_nothing_is_said() -> None:
    reply = call(House(rate_limits=limits(requests_per_min=3).headers).app, body=chat(), headers=[])
    assert reply.status == 401
    assert "x-ratelimit-limit-requests" not in reply.headers


@pytest.mark.parametrize(
    ("retry_after_s", "code", "retried"),
    [(12.2, "rate_limit_exceeded", None), (900_000.0, "insufficient_quota", "false")],
)
def test_a_refusal_says_when_it_is_worth_trying_again(retry_after_s: float, code: str, retried: str | None) -> None:
    house = House(rate_limits=limits(requests_per_min=3).headers)
    house.coordinator.steps = (LimitReached("used up", retry_after_s=retry_after_s, limit="x"),)
    reply = call(house.app, body=chat())
    assert (reply.status, reply.error["code"]) == (429, code)
    assert int(reply.headers["retry-after"]) == -(-retry_after_s // 1)
    assert reply.headers.get("x-should-retry") == retried
    assert reply.headers["x-ratelimit-limit-requests"] == "3"
