"""Another plan where the results of the first one can't be verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from appliance.coordinator.options import BudgetLimits
from appliance.domain.model import Role
from appliance.domain.request import CallContext, EngineCall
from appliance.domain.trace import Outcome
from tests.coordinator.house import CHAIN, OPTIONS, asks, content, events_of, house, reasoning, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

REPLANNING = replace(OPTIONS, verification=replace(OPTIONS.verification, replans=1))
WRONG = '{"steps": [{"id": "s1", "skill": "math", "do": "12*7"}, {"id": "s2", "skill": "math", "do": "5-$s1"}]}'
Script = Callable[[EngineCall, CallContext], Reply | str]


def planning(*plans: str, doubted: str = "5-84") -> Script:
    """The planner gives one plan after the other; the verifier never passes a result of `doubted`."""
    calls = iter(plans)

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        prompt = str(call.messages[-1]["content"])
        if call.model_id == "planner":
            return next(calls)
        if call.model_id == "verifier" and prompt.startswith(doubted):
            return Reply("again;fail", probability=0.03)
        return sound(call, ctx)

    return script


def test_another_plan_is_made_and_taken_when_all_of_it_passes() -> None:
    async def main() -> None:
        built = house(planning(WRONG, CHAIN), options=REPLANNING)
        events = await events_of(built, asks())
        assert content(events) == "79"
        assert "s2: none of 3 attempts passed: planning again" in reasoning(events).splitlines()
        trace = built.trace
        assert [(t.task_id, t.needs, t.outcome) for t in trace.tasks] == [
            ("s1", (), Outcome.OK),
            ("s2", ("s1",), Outcome.ERROR),
            ("2.s1", (), Outcome.OK),
            ("2.s2", ("2.s1",), Outcome.OK),
        ]
        assert [(f.role, f.reason, f.action) for f in trace.fallbacks] == [
            (Role.PLANNER, "s2: none of 3 attempts passed", "plan 2 is taken, all of its results passed")
        ]
        assert sum(call.role is Role.PLANNER for call in trace.calls) == 2

    run(main())


def test_the_second_plan_is_sampled_anew_where_the_prompt_set_resamples() -> None:
    async def main() -> None:
        built = house(planning(WRONG, CHAIN), options=REPLANNING)
        await events_of(built, asks())
        first, second = (a.call for a in built.client.asked if a.call.model_id == "planner")
        assert first.params["temperature"] == 0
        assert second.params["temperature"] == REPLANNING.verification.repair_temperature

    run(main())


def test_when_no_plan_passes_the_first_one_is_carried_on_without_doing_its_work_again() -> None:
    async def main() -> None:
        other = WRONG.replace("12*7", "7*12")
        built = house(planning(WRONG, other), options=REPLANNING)
        events = await events_of(built, asks())
        assert content(events) == "-79"
        first = [c for c in built.trace.calls if c.role is Role.EXECUTOR and not c.task_id.startswith("2.")]
        assert [(c.task_id, c.attempt) for c in first] == [("s1", 1), ("s2", 1), ("s2", 2), ("s2", 3)]
        assert [f.role for f in built.trace.fallbacks] == [Role.VERIFIER]

    run(main())


def test_the_same_plan_again_is_no_other_plan() -> None:
    async def main() -> None:
        built = house(planning(WRONG, WRONG, WRONG), options=REPLANNING)
        assert content(await events_of(built, asks())) == "-79"
        note = built.trace.fallbacks[0]
        assert "the same plan again" in note.reason
        assert note.action == "the first plan is carried on"
        assert {t.task_id for t in built.trace.tasks} == {"s1", "s2"}

    run(main())


def test_another_plan_never_takes_what_the_first_one_still_needs() -> None:
    tail = ', {"id": "s3", "skill": "math", "do": "$s2+1"}, {"id": "s4", "skill": "math", "do": "$s3+1"}]}'
    long = (
        '{"steps": [{"id": "s1", "skill": "math", "do": "84-5"}, {"id": "s2", "skill": "math", "do": "$s1+90"}' + tail
    )

    async def main() -> None:
        # 1 plan, 3 attempts and 1 verdict for s1, and 3 first attempts are 8 calls: one more is left for a plan.
        options = replace(REPLANNING, budget=BudgetLimits(calls=9, tokens=16_000, wall_s=60, tasks=8))
        built = house(planning(long, CHAIN, doubted="84-5"), options=options)
        events = await events_of(built, asks())
        assert content(events) == "171"
        assert built.trace.budget.used_calls <= 9
        assert built.trace.outcome is Outcome.OK

    run(main())
