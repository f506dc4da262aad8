"""Steps that are carried out while the planner still writes the rest of the plan."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from appliance.coordinator.options import BudgetLimits, CoordinatorOptions
from appliance.domain.model import Role
from appliance.domain.request import CallContext, EngineCall
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Outcome
from appliance.errors import EngineUnavailable
from tests.coordinator.house import CHAIN, FORK, OPTIONS, House, asks, content, events_of, house, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

Script = Callable[[EngineCall, CallContext], Reply | str]
LATE = replace(OPTIONS, early_start=False)


def plan(*steps: tuple[str, str]) -> str:
    return json.dumps({"steps": [{"id": i, "skill": "math", "do": do} for i, do in steps]})


def planning(plans: Sequence[str | Reply], rest: Script = sound, delay_s: float = 0.1) -> Script:
    """The planner writes one plan after the other, a sign each `delay_s`."""
    written = iter(plans)

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if not call.model_id.startswith("planner"):
            return rest(call, ctx)
        said = next(written)
        return said if isinstance(said, Reply) else Reply(pieces=tuple(said), delay_s=delay_s)

    return script


def slow(call: EngineCall, ctx: CallContext) -> Reply:
    reply = sound(call, ctx)
    assert isinstance(reply, Reply | str)
    return replace(reply if isinstance(reply, Reply) else Reply(reply), delay_s=1.0)


def calls_of(built: House, role: Role) -> list[tuple[str, int, Outcome]]:
    return [(c.task_id, c.attempt, c.outcome) for c in built.trace.calls if c.role is role]


def test_a_step_begins_when_its_object_is_complete() -> None:
    async def main() -> None:
        built = house(planning([CHAIN]))
        began_s = asyncio.get_running_loop().time()
        assert content(await events_of(built, asks())) == "79"
        first = next(a for a in built.client.asked if a.ctx.task_id == "s1")
        assert first.at_s - began_s == pytest.approx(0.1 * (CHAIN.index("}") + 1))
        assert [t.task_id for t in built.trace.tasks] == ["s1", "s2"]

    run(main())


def test_it_takes_less_time_and_gives_the_same_answer() -> None:
    async def main() -> None:
        durations = []
        for options in (OPTIONS, LATE):
            built = house(planning([FORK], slow), options=options)
            assert content(await events_of(built, asks())) == "91"
            durations.append(built.trace.duration_s)
        assert durations[0] < durations[1] - 4

    run(main())


def test_a_rejected_plan_stops_what_runs_of_it_while_the_rest_is_still_written() -> None:
    bad = plan(("s1", "12*7"), ("s2", "$s9"), *((f"s{n}", "1+1") for n in range(3, 6)))

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.messages[-1]["content"] == "12*7" and call.params.get("temperature") == 0 and not hung:
            hung.append(ctx.task_id)
            return Reply(pieces=("w",), hangs=True)
        return sound(call, ctx)

    async def main() -> None:
        built = house(planning([bad, CHAIN], script))
        began_s = asyncio.get_running_loop().time()
        assert content(await events_of(built, asks())) == "79"
        cut = next(c for c in built.trace.calls if c.outcome is Outcome.CANCELLED)
        ended_s = cut.started_s + cut.queue_s + cut.engine_s
        assert ended_s == pytest.approx(0.1 * (bad.index("$s9") + 5))
        second = [a for a in built.client.asked if a.call.model_id == "planner"][1]
        assert second.at_s - began_s == pytest.approx(0.1 * len(bad))
        assert [(t.task_id, t.outcome) for t in built.trace.tasks] == [("s1", Outcome.OK), ("s2", Outcome.OK)]

    hung: list[str] = []
    run(main())


def test_finished_work_of_a_rejected_plan_is_not_paid_again() -> None:
    bad = plan(("s1", "12*7"), ("s2", "$s1-5"), ("s3", "$s1+1"), ("s4", "$s9"))
    good = plan(("s1", "12*7"), ("s2", "$s1-5"), ("s3", "$s1+2"), ("s4", "$s2+$s3"))

    async def main() -> None:
        built = house(planning([bad, good]))
        assert content(await events_of(built, asks())) == "165"
        prompts = built.client.prompts("math")
        assert sorted(prompts) == ["12*7", "79+86", "84+1", "84+2", "84-5"]
        assert [(t.task_id, t.outcome, t.attempts) for t in built.trace.tasks] == [
            (f"s{n}", Outcome.OK, 1) for n in range(1, 5)
        ]
        assert built.trace.budget.used_tokens == built.trace.usage.total_tokens

    run(main())


@pytest.mark.parametrize("options", [OPTIONS, LATE])
def test_a_bomb_is_cut_where_it_shows(options: CoordinatorOptions) -> None:
    bomb = plan(*((f"s{n}", "12*7") for n in range(10_000)))

    async def main() -> None:
        built = house(planning([bomb, CHAIN], delay_s=0.0), options=options)
        assert content(await events_of(built, asks())) == "79"
        first, _ = (c for c in built.trace.calls if c.role is Role.PLANNER)
        assert first.outcome is Outcome.CANCELLED
        assert first.usage_estimated
        assert first.usage.completion_tokens == bomb.index('{"id": "s8"') + 1
        assert built.dispatcher.in_flight == {}

    run(main())


def test_a_planner_that_fails_in_the_middle_takes_its_steps_with_it() -> None:
    broken = Reply(pieces=tuple(FORK), delay_s=0.1, error=EngineUnavailable("gone"), pieces_before_error=60)
    options = replace(OPTIONS, roles=replace(OPTIONS.roles, planner=("planner", "planner-2")))

    async def main() -> None:
        built = house(planning([broken, plan(("s7", "1+1"))]), options=options, prompt_sets={"planner-2": "starter"})
        assert content(await events_of(built, asks())) == "2"
        assert [(t.task_id, t.outcome) for t in built.trace.tasks] == [("s1", Outcome.OK), ("s7", Outcome.OK)]

    run(main())


def test_a_caller_that_leaves_while_the_plan_is_written_stops_all() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        return Reply(pieces=("w",), hangs=True)

    async def main() -> None:
        built = house(planning([FORK], script))
        stream = built.coordinator.answer(asks(), request_id="r", trace_id="t", tenant=Tenant("acme"))
        await anext(stream)
        await asyncio.sleep(0.1 * FORK.index("s2"))
        assert built.client.open_streams == 2
        await stream.aclose()
        assert (built.client.open_streams, built.client.aborted) == (0, 2)
        assert built.trace.outcome is Outcome.CANCELLED

    run(main())


STRAY = plan(("s1", "9*9"), ("s2", "12*7"), ("s3", "3+4"), ("s4", "$s2-5"))


@pytest.mark.parametrize("options", [OPTIONS, LATE])
def test_what_the_final_result_does_not_need_is_cancelled_or_never_begun(options: CoordinatorOptions) -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        return Reply(hangs=True) if ctx.task_id in ("s1", "s3") else sound(call, ctx)

    async def main() -> None:
        built = house(planning([STRAY], script), options=options)
        assert content(await events_of(built, asks())) == "79"
        stray = Outcome.CANCELLED if options.early_start else Outcome.SKIPPED
        assert [t.outcome for t in built.trace.tasks] == [stray, Outcome.OK, stray, Outcome.OK]
        assert built.trace.duration_s == pytest.approx(0.1 * len(STRAY))

    run(main())


def test_a_failure_of_what_turns_out_moot_is_none() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        return Reply(error=EngineUnavailable("gone")) if ctx.task_id == "s1" else sound(call, ctx)

    async def main() -> None:
        built = house(planning([STRAY], script))
        assert content(await events_of(built, asks())) == "79"
        assert next(t.outcome for t in built.trace.tasks) is Outcome.ERROR
        assert built.trace.fallbacks == ()

    run(main())


def test_with_a_synthesizer_no_task_is_moot() -> None:
    options = replace(OPTIONS, roles=replace(OPTIONS.roles, synthesizer=("generalist-2",)))

    async def main() -> None:
        built = house(planning([STRAY]), options=options, prompt_sets={"generalist-2": "instruct"})
        await events_of(built, asks())
        assert [t.outcome for t in built.trace.tasks] == [Outcome.OK] * 4

    run(main())


def test_a_small_budget_waits_for_the_end_of_the_plan() -> None:
    # A second plan with 8 tasks would need 9 calls, beside the planner's first one.
    async def main() -> None:
        for calls, early in ((11, True), (10, False)):
            built = house(planning([CHAIN]), options=replace(OPTIONS, budget=replace(OPTIONS.budget, calls=calls)))
            began_s = asyncio.get_running_loop().time()
            assert content(await events_of(built, asks())) == "79"
            first = next(a for a in built.client.asked if a.ctx.task_id == "s1")
            assert (first.at_s - began_s < 0.1 * (len(CHAIN) - 1)) is early
            assert built.trace.budget.stopped_by is None

    run(main())


def random_plan(dice: random.Random) -> str:
    steps: list[dict[str, Any]] = []
    for number in range(dice.randint(1, 7)):
        needed = dice.sample(range(number), min(number, dice.randint(0, 2)))
        needs = [f"s{dice.randint(0, 8)}"] if dice.random() < 0.04 else []
        do = "+".join([str(dice.randint(1, 99)), *(f"$s{n}" for n in needed)])
        steps.append({"id": f"s{number}", "skill": "math", "do": do} | ({"needs": needs} if needs else {}))
    text = json.dumps({"steps": steps}, indent=dice.choice((None, 1)))
    return text[: -dice.randint(1, 9)] if dice.random() < 0.1 else text


def in_tokens(text: str) -> tuple[str, ...]:
    return tuple(text[place : place + 4] for place in range(0, len(text), 4))


def moody(seed: int) -> Script:
    """Everyone errs now and then, each time in the same way when asked the same."""
    plans: dict[str, str] = {}

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        prompt, params = str(call.messages[-1]["content"]), sorted(call.params.items())
        asked = f"{seed} {call.model_id} {prompt} {[p for p in params if p[0] in ('seed', 'temperature')]}"
        dice = random.Random(zlib.crc32(asked.encode()))
        delay_s = dice.choice((0.0, 0.01, 0.1))
        if call.model_id == "planner":
            return Reply(pieces=in_tokens(plans.setdefault(asked, random_plan(dice))), delay_s=delay_s)
        if call.model_id == "verifier":
            right = int(prompt.partition(" = ")[2]) % 7 > 0
            return Reply(
                "w;" + ("pass" if right else "fail"), probability=0.9 if right else dice.random() / 2, delay_s=delay_s
            )
        if call.model_id.startswith("math"):
            if dice.random() < 0.02:
                return Reply(error=EngineUnavailable("gone"))
            result = sum(int(part) for part in prompt.split("+")) + dice.choice((0, 0, 0, 1))
            return Reply(f"w;{result}", delay_s=delay_s)
        return "generally;1"

    return script


@pytest.mark.parametrize("part", range(4))
def test_the_answer_is_the_same_with_and_without(part: int) -> None:
    options = replace(
        OPTIONS,
        budget=BudgetLimits(calls=500, tokens=200_000, wall_s=1e6, tasks=8),
        verification=replace(OPTIONS.verification, replans=1),
    )

    async def one(seed: int, early: bool) -> tuple[str, list[str]]:
        built = house(moody(seed), options=replace(options, early_start=early))
        said = content(await events_of(built, asks()))
        trace = built.trace
        assert trace.budget.used_tokens == trace.usage.total_tokens
        return said, [fallback.action for fallback in trace.fallbacks]

    async def main() -> None:
        for seed in range(30 * part, 30 * part + 30):
            assert await one(seed, True) == await one(seed, False), seed

    run(main())


@pytest.mark.parametrize("part", range(4))
def test_an_early_start_never_costs_the_answer_its_budget(part: int) -> None:
    async def one(seed: int, early: bool) -> House:
        dice = random.Random(seed)
        budget = BudgetLimits(calls=dice.randint(6, 30), tokens=dice.randint(900, 4000), wall_s=1e6, tasks=8)
        built = house(moody(seed), options=replace(OPTIONS, budget=budget, early_start=early))
        await events_of(built, asks())
        return built

    async def main() -> None:
        for seed in range(30 * part, 30 * part + 30):
            late = await one(seed, False)
            if any("budget" in fallback.reason for fallback in late.trace.fallbacks):
                continue
            early = await one(seed, True)
            assert not any("budget" in fallback.reason for fallback in early.trace.fallbacks), seed
            assert early.trace.budget.used_calls <= early.trace.budget.limit_calls

    run(main())
