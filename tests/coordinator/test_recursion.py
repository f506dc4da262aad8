"""Tasks that are planned again: plans that stand in plans."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.plan_place import share_of
from appliance.coordinator.planner import plan_schema
from appliance.coordinator.task_graph import PlanRejected, TaskGraph, parse_plan
from appliance.domain.model import Role
from appliance.domain.request import CallContext, EngineCall
from appliance.domain.trace import Outcome
from tests.coordinator.house import OPTIONS, House, asks, content, events_of, house, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

Script = Callable[[EngineCall, CallContext], Reply | str]


def plan(*steps: tuple[str, str, str]) -> str:
    """Steps of id, instruction and role."""
    made: list[dict[str, Any]] = [
        {"id": i, "skill": "math", "do": do} | ({"role": r} if r else {}) for i, do, r in steps
    ]
    return json.dumps({"steps": made})


TOP = plan(("s1", "12*7", ""), ("s2", "$s1-5", "planner"), ("s3", "$s2+1", "executor"))
BELOW = plan(("s1", "$sGiven1-3", ""), ("s2", "$s1-2", ""))


def planners(plans: Mapping[str, str], rest: Script = sound) -> Script:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        return plans[ctx.task_id] if ctx.role is Role.PLANNER else rest(call, ctx)

    return script


def built_with(plans: Mapping[str, str], rest: Script = sound, options: CoordinatorOptions = OPTIONS) -> House:
    return house(planners(plans, rest), options=options, prompt_sets={"planner": "instruct"})


def tasks(built: House) -> list[tuple[str, tuple[str, ...], Outcome]]:
    return [(task.task_id, task.needs, task.outcome) for task in built.trace.tasks]


def depth(levels: int) -> CoordinatorOptions:
    return replace(OPTIONS, budget=replace(OPTIONS.budget, depth=levels))


@pytest.mark.parametrize("early", [True, False])
def test_a_task_is_planned_again_and_its_last_result_is_its_own(early: bool) -> None:
    async def main() -> None:
        built = built_with({"plan": TOP, "s2.plan": BELOW}, options=replace(OPTIONS, early_start=early))
        assert content(await events_of(built, asks(), keep_content=True)) == "80"
        assert tasks(built) == [
            ("s1", (), Outcome.OK),
            ("s2", ("s1",), Outcome.OK),
            ("s3", ("s2",), Outcome.OK),
            ("s2.s1", ("s1",), Outcome.OK),
            ("s2.s2", ("s2.s1",), Outcome.OK),
        ]
        second = built.trace.tasks[1]
        assert (second.instruction, second.result, second.attempts) == ("84-5", "79", 0)
        assert built.trace.fallbacks == ()
        assert built.trace.budget.used_calls == len(built.trace.calls) == 10

    run(main())


def test_a_planner_below_sees_names_and_never_results() -> None:
    async def main() -> None:
        built = built_with({"plan": TOP, "s2.plan": BELOW})
        await events_of(built, asks())
        top, below = (asked.call.messages for asked in built.client.asked if asked.ctx.role is Role.PLANNER)
        assert '"role": "planner"' in top[0]["content"]
        assert "sGiven" not in top[0]["content"]
        assert '"role": "planner"' not in below[0]["content"]
        assert "$sGiven1. You do not see them" in below[0]["content"]
        assert 'user: "$sGiven1-5"' in below[1]["content"]
        assert "84" not in str(below)

    run(main())


def test_the_grammar_offers_roles_only_where_a_plan_may_stand_in_the_plan() -> None:
    for levels, offered in ((1, [False]), (2, [True, False]), (3, [True, True])):

        async def main(levels: int = levels, offered: list[bool] = offered) -> None:
            built = built_with({"plan": TOP, "s2.plan": BELOW}, options=depth(levels))
            await events_of(built, asks())
            formats = [a.call.params["response_format"] for a in built.client.asked if a.ctx.role is Role.PLANNER]
            steps = [f["json_schema"]["schema"]["properties"]["steps"]["items"]["properties"] for f in formats]
            assert [("role" in step) for step in steps] == offered

        run(main())
    assert "role" not in plan_schema(("math",), 3)["properties"]["steps"]["items"]["properties"]


def test_deeper_than_the_limit_an_executor_carries_the_task_out() -> None:
    async def main() -> None:
        built = built_with({"plan": TOP}, options=depth(1))
        assert content(await events_of(built, asks())) == "80"
        (note,) = built.trace.fallbacks
        assert (note.role, note.reason) == (Role.PLANNER, "s2: plans may stand 1 deep")
        assert note.action == "an executor carries it out"

    run(main())


def test_three_levels() -> None:
    below = plan(("s1", "$sGiven1-3", ""), ("s2", "$s1-2", "planner"))
    lowest = plan(("s1", "$sGiven1-1", ""), ("s2", "$s1-1", ""))

    async def main() -> None:
        plans = {"plan": TOP, "s2.plan": below, "s2.s2.plan": lowest}
        options = replace(OPTIONS, budget=replace(OPTIONS.budget, depth=3, tasks=12))
        built = built_with(plans, options=options)
        assert content(await events_of(built, asks())) == "80"
        assert ("s2.s2.s1", ("s2.s1",), Outcome.OK) in tasks(built)
        assert ("s2.s2.s2", ("s2.s2.s1",), Outcome.OK) in tasks(built)

    run(main())


def test_a_tree_of_plans_has_no_more_tasks_than_one_plan() -> None:
    graph = parse_plan(plan(("s1", "1", "planner"), ("s2", "2", "planner"), ("s3", "$s1+$s2", "")), ("math",), 8)
    assert isinstance(graph, TaskGraph)
    assert [share_of(graph, most) for most in (3, 4, 6, 8, 9)] == [0, 0, 1, 2, 3]
    long = plan(*((f"s{n}", "$sGiven1-5", "") for n in range(1, 7)))

    async def main() -> None:
        built = built_with({"plan": TOP, "s2.plan": long})
        assert content(await events_of(built, asks())) == "80"
        (note,) = built.trace.fallbacks
        assert "2 plans rejected, the last one: more than 5 steps" in note.reason
        tight = built_with({"plan": TOP}, options=replace(OPTIONS, budget=replace(OPTIONS.budget, tasks=4)))
        assert content(await events_of(tight, asks())) == "80"
        assert tight.trace.fallbacks[0].reason == "s2: too few tasks are left for a plan of its own"

    run(main())


@pytest.mark.parametrize("result", ["100", "79"])
def test_a_result_of_a_plan_must_pass_the_rules_of_its_task(result: str) -> None:
    below = plan(("s1", "$sGiven1-3", ""), ("s2", f"0+{result}", ""))
    top = json.loads(TOP)
    top["steps"][1]["check"] = {"arithmetic": "$s1-5"}

    async def main() -> None:
        built = built_with({"plan": json.dumps(top), "s2.plan": below})
        assert content(await events_of(built, asks())) == "80"
        assert bool(built.trace.fallbacks) is (result == "100")

    run(main())


def test_when_the_plan_below_fails_the_task_is_carried_out_plainly() -> None:
    def wrong_below(call: EngineCall, ctx: CallContext) -> Reply | str:
        if ctx.task_id == "s2.s2" and ctx.role is Role.EXECUTOR:
            return "w;1"
        return sound(call, ctx)

    async def main() -> None:
        built = built_with({"plan": TOP, "s2.plan": BELOW}, wrong_below)
        assert content(await events_of(built, asks())) == "80"
        (note,) = built.trace.fallbacks
        assert note.reason == "s2: s2.s2: none of 3 attempts passed"
        assert ("s2", ("s1",), Outcome.OK) in tasks(built)

    run(main())


@pytest.mark.parametrize("calls", range(4, 14))
def test_a_plan_below_never_takes_what_the_plan_above_needs(calls: int) -> None:
    async def main() -> None:
        options = replace(OPTIONS, budget=replace(OPTIONS.budget, calls=calls))
        built = built_with({"plan": TOP, "s2.plan": BELOW}, options=options)
        assert content(await events_of(built, asks())) == "80"
        assert built.trace.budget.used_calls <= calls
        assert all(t.outcome is Outcome.OK for t in built.trace.tasks if "." not in t.task_id)

    run(main())


def test_ids_of_results_from_outside_belong_to_nobody_else() -> None:
    assert isinstance(parse_plan(BELOW, ("math",), 8, ("sGiven1",)), TaskGraph)
    for text in (BELOW, plan(("sGiven1", "1+1", ""))):
        given = () if text is BELOW else ("sGiven1",)
        assert isinstance(parse_plan(text, ("math",), 8, given), PlanRejected)
    refused = parse_plan(plan(("s1", "1", "verifier")), ("math",), 8)
    assert refused == PlanRejected(("step 1: its role is not one of executor, planner",))
