"""Who may choose a strategy, and what efforts change, through the whole coordinator."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.routing_options import Condition, Rule
from appliance.domain.model import Role
from appliance.domain.policy import DataPolicy
from appliance.domain.request import Effort
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Decision
from appliance.domain.use_rule import UseRule
from appliance.errors import InvalidRequest
from tests.coordinator.house import OPTIONS, asks, content, events_of, finished, house
from tests.fakes.virtual_time import run

CHOICE = replace(OPTIONS, allow_choice=True)


def test_the_caller_chooses_where_it_may() -> None:
    async def main() -> None:
        built = house(options=CHOICE)
        events = await events_of(built, asks(strategy="direct"))
        assert (content(events), finished(events).strategy) == ("79", "direct")
        assert built.trace.decision.reasons == ("the caller chose it",)

    run(main())


def test_a_team_without_its_verifier_gives_the_same_answer_for_fewer_calls() -> None:
    async def main() -> None:
        verified, bare = house(options=CHOICE), house(options=CHOICE)
        first = await events_of(verified, asks(strategy="plan_execute_verify"))
        second = await events_of(bare, asks(strategy="plan_execute"))
        assert content(first) == content(second)
        assert {call.role for call in bare.trace.calls} == {Role.PLANNER, Role.EXECUTOR}
        assert len(bare.trace.calls) < len(verified.trace.calls)
        assert not bare.trace.verdicts

    run(main())


@pytest.mark.parametrize(
    ("options", "model", "words"),
    [
        (OPTIONS, "auto", "callers may not choose here"),
        (CHOICE, "generalist", "only auto has strategies"),
    ],
)
def test_a_choice_that_is_not_the_callers_is_refused(options: CoordinatorOptions, model: str, words: str) -> None:
    async def main() -> None:
        built = house(options=options)
        with pytest.raises(InvalidRequest, match=words):
            await events_of(built, asks(model=model, strategy="direct"))
        assert not built.client.asked

    run(main())


def test_a_low_effort_takes_one_call_and_a_high_one_twice_the_budget() -> None:
    async def main() -> None:
        low, high = house(), house()
        assert finished(await events_of(low, asks(effort=Effort.LOW))).calls == 1
        assert low.trace.decision.reasons[-1] == "effort low does not allow plan_execute_verify"
        await events_of(high, asks(effort=Effort.HIGH))
        assert high.trace.budget.limit_calls == 2 * low.trace.budget.limit_calls

    run(main())


def test_a_rule_sees_the_labels_that_the_tenants_data_always_bear() -> None:
    async def main() -> None:
        rules = (Rule("by-label", "direct", Condition(labels=("open",))),)
        built = house(options=replace(OPTIONS, rules=rules), policy=DataPolicy({"open": UseRule()}))
        tenant = Tenant("acme", labels=frozenset({"open"}))
        stream = built.coordinator.answer(asks(), request_id="r1", trace_id="t1", tenant=tenant)
        assert [event async for event in stream]
        assert built.trace.decision == Decision("direct", ("rule by-label: label open",))

    run(main())
