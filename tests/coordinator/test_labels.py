from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.domain.policy import DataPolicy
from appliance.domain.tenant import Tenant
from appliance.domain.use_rule import UseRule
from appliance.errors import NotAllowed
from tests.coordinator.house import QUESTION, asks, content, events_of, finished, house
from tests.fakes.virtual_time import run

POLICY = DataPolicy(
    {
        "all-but-math": UseRule(models=frozenset({"planner", "math-2", "verifier", "generalist"})),
        "generalist-only": UseRule(models=frozenset({"generalist"})),
        "elsewhere": UseRule(nodes=frozenset({"vault"})),
    }
)


def test_a_call_goes_to_the_next_model_that_may_see_the_data() -> None:
    async def main() -> None:
        built = house(policy=POLICY)
        events = await events_of(built, asks(labels=("all-but-math",)))
        assert content(events) == "79"
        assert {asked.call.model_id for asked in built.client.asked} == {"planner", "math-2", "verifier"}
        refused = [call for call in built.trace.calls if call.model_id == "math"]
        assert refused
        assert all(call.engine_id == "" and call.usage.total_tokens == 0 for call in refused)
        assert "label all-but-math: math is not allowed for it" in refused[0].error

    run(main())


def test_a_team_that_may_not_see_the_data_is_never_asked() -> None:
    async def main() -> None:
        built = house(policy=POLICY)
        events = await events_of(built, asks(labels=("generalist-only",)))
        assert finished(events).strategy == "direct"
        assert {asked.call.model_id for asked in built.client.asked} == {"generalist"}
        assert {asked.ctx.labels for asked in built.client.asked} == {frozenset({"generalist-only"})}

    run(main())


@pytest.mark.parametrize("question", [QUESTION, "hi"])
def test_where_nothing_may_see_the_data_nothing_is_sent(question: str) -> None:
    async def main() -> None:
        built = house(policy=POLICY)
        with pytest.raises(NotAllowed, match="label elsewhere: node local is not allowed for it"):
            await events_of(built, asks(question, labels=("elsewhere",)))
        assert not built.client.asked

    run(main())


def test_a_named_model_is_refused_too() -> None:
    async def main() -> None:
        built = house(policy=POLICY)
        with pytest.raises(NotAllowed, match="math is not allowed"):
            await events_of(built, asks("hi", model="math", labels=("all-but-math",)))
        assert not built.client.asked

    run(main())


def test_an_unknown_label_is_refused_at_the_door() -> None:
    async def main() -> None:
        built = house(policy=POLICY)
        with pytest.raises(NotAllowed, match="label public: it is not known") as refused:
            await events_of(built, asks(labels=("public",)))
        assert refused.value.param == "labels"
        assert not built.client.asked

    run(main())


def test_the_tenants_labels_hold_whatever_the_request_says() -> None:
    async def main() -> None:
        built = house(policy=POLICY)
        tenant = Tenant("acme", labels=frozenset({"generalist-only"}))
        for request in (asks(), replace(asks(), labels=("all-but-math",))):
            stream = built.coordinator.answer(request, request_id="r", trace_id="t", tenant=tenant)
            assert [event async for event in stream]
        assert {asked.call.model_id for asked in built.client.asked} == {"generalist"}

    run(main())


def test_engines_on_other_nodes_are_left_out_of_the_choice() -> None:
    async def main() -> None:
        built = house(policy=POLICY)
        engines = built.fleet.snapshot.engines
        here = next(engine for engine in engines if engine.model_id == "generalist")
        there = replace(here, engine_id="generalist-9", node="vault")
        built.fleet.publish((*engines, there))
        events = await events_of(built, asks("hi", labels=("elsewhere",)))
        assert content(events) == "79"
        assert {call.engine_id for call in built.trace.calls} == {"generalist-9"}

    run(main())
