"""Policies of tenants through the whole coordinator: what is refused, what is lowered, what is kept."""

from __future__ import annotations

import pytest

from appliance.domain.policy import DataPolicy, TenantPolicy
from appliance.domain.request import AnswerEvent, ChatRequest, Effort
from appliance.domain.tenant import Tenant
from appliance.domain.use_rule import UseRule
from appliance.errors import NotAllowed
from tests.coordinator.house import House, asks, content, finished, house
from tests.fakes.virtual_time import run

POLICY = DataPolicy(
    rules={"open": UseRule(), "private": UseRule(keep_content=False, keep_days=2)},
    policies={
        "small": TenantPolicy(rule=UseRule(max_tokens=20, keep_days=7)),
        "clipped": TenantPolicy(rule=UseRule(max_tokens=20, max_effort=Effort.LOW, clip=True)),
        "plain": TenantPolicy(rule=UseRule(strategies=frozenset({"direct"}))),
        "teams": TenantPolicy(rule=UseRule(strategies=frozenset({"plan_execute_verify"}))),
        "one": TenantPolicy(rule=UseRule(models=frozenset({"generalist"}))),
        "elsewhere": TenantPolicy(rule=UseRule(nodes=frozenset({"vault"}))),
    },
)


async def answered(policy: str, request: ChatRequest, *, keep: bool = False) -> tuple[House, list[AnswerEvent]]:
    built = house(policy=POLICY)
    tenant = Tenant("acme", keep_content=keep, policy=policy)
    stream = built.coordinator.answer(request, request_id="r", trace_id="t", tenant=tenant)
    return built, [event async for event in stream]


@pytest.mark.parametrize(
    ("policy", "request_", "words", "param"),
    [
        ("small", asks("hi", max_tokens=21), "policy small: max_tokens 21 is more than 20", "max_tokens"),
        ("plain", asks("hi", model="math"), "policy plain: strategy passthrough is not allowed", "model"),
        ("one", asks("hi", model="math"), "policy one: math is not allowed for it", "model"),
        ("elsewhere", asks("hi"), "policy elsewhere: node local is not allowed for it", "model"),
        ("nowhere", asks("hi"), "policy nowhere: there is none of this name", None),
        ("teams", asks("hi"), "", None),
    ],
)
def test_what_a_policy_does_not_allow_is_refused_with_its_name(
    policy: str, request_: ChatRequest, words: str, param: str | None
) -> None:
    async def main() -> None:
        if not words:
            built, events = await answered(policy, request_)
            assert finished(events).strategy == "plan_execute_verify"
            assert built.client.asked
            return
        with pytest.raises(NotAllowed) as refused:
            await answered(policy, request_)
        assert words in str(refused.value)
        assert refused.value.param == param

    run(main())


def test_what_is_lowered_stands_in_answer_and_trace() -> None:
    async def main() -> None:
        built, events = await answered("clipped", asks("hi", model="generalist", max_tokens=500, effort=Effort.HIGH))
        assert {asked.call.max_tokens for asked in built.client.asked} == {20}
        said = [f"{left.step} ({left.reason})" for left in finished(events).reduced]
        assert said == ["max_tokens is at most 20 (policy clipped)", "effort is at most low (policy clipped)"]
        assert built.trace.reduced == finished(events).reduced

    run(main())


def test_only_the_strategies_of_the_policy_answer() -> None:
    async def main() -> None:
        built, events = await answered("plain", asks())
        assert finished(events).strategy == "direct"
        assert content(events) == "79"
        assert {asked.call.model_id for asked in built.client.asked} == {"generalist"}

    run(main())


@pytest.mark.parametrize(
    ("policy", "labels", "keep", "kept", "days"),
    [
        ("default", (), True, True, None),
        ("small", (), True, True, 7),
        ("small", ("private",), True, False, 2),
        ("default", ("private",), False, False, 2),
        ("default", ("open",), False, False, None),
    ],
)
def test_contents_are_kept_as_long_as_policy_and_labels_say(
    policy: str, labels: tuple[str, ...], keep: bool, kept: bool, days: int | None
) -> None:
    async def main() -> None:
        built, _ = await answered(policy, asks("hi", labels=labels), keep=keep)
        assert (built.trace.question is not None) == kept
        ends = built.trace.delete_after_unix_s
        assert ends == (None if days is None else built.trace.created_unix_s + days * 86_400)

    run(main())
