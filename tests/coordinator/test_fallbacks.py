"""Plans that are rejected, and roles that fail."""

from __future__ import annotations

import pytest

from appliance.domain.model import Role
from appliance.domain.request import CallContext, EngineCall, Usage
from appliance.domain.trace import Outcome
from appliance.errors import (
    EngineRejected,
    EngineUnavailable,
)
from tests.coordinator.house import (
    FORK,
    asks,
    content,
    events_of,
    finished,
    house,
    sound,
)
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run


def test_a_rejected_plan_is_tried_once_more() -> None:
    plans = iter(["{", None])

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "planner":
            return next(plans) or sound(call, ctx)
        return sound(call, ctx)

    async def main() -> None:
        built = house(script)
        assert content(await events_of(built, asks())) == "79"
        first, second = (a.call.params for a in built.client.asked if a.call.model_id == "planner")
        assert (first["temperature"], second["temperature"]) == (0.0, 0.8)
        assert built.trace.fallbacks == ()

    run(main())


def test_two_rejected_plans_fall_back_to_the_generalist() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        return '{"steps": []}' if call.model_id == "planner" else sound(call, ctx)

    async def main() -> None:
        built = house(script)
        events = await events_of(built, asks())
        assert content(events) == "79"
        assert finished(events).strategy == "direct"
        assert built.trace.decision.strategy == "plan_execute_verify"
        (note,) = built.trace.fallbacks
        assert (note.role, note.reason) == (Role.PLANNER, "2 plans rejected, the last one: no steps")
        assert built.trace.outcome is Outcome.OK

    run(main())


def test_the_instruct_planner_is_shown_its_mistake() -> None:
    plans = iter(['{"steps": [{"id": "s1", "skill": "magic", "do": "x"}]}', None])

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "planner":
            return next(plans) or sound(call, ctx)
        return sound(call, ctx)

    async def main() -> None:
        built = house(script, prompt_sets={"planner": "instruct"})
        assert content(await events_of(built, asks())) == "79"
        first, second = built.client.prompts("planner")
        assert "could not be used" not in first
        assert "step 1: nobody has its skill; known: math, text" in second
        assert r"\"magic\"" in second

    run(main())


def test_an_executor_that_is_down_is_replaced_by_the_next_one() -> None:
    async def main() -> None:
        built = house(down=("math",))
        events = await events_of(built, asks())
        assert content(events) == "79"
        assert {c.model_id for c in built.trace.calls if c.outcome is Outcome.OK} == {"planner", "math-2", "verifier"}
        failed = [c for c in built.trace.calls if c.outcome is Outcome.ERROR]
        assert [c.usage for c in failed] == [Usage()] * 2
        assert finished(events).calls == 5
        assert {event.model_id for event in built.fleet.demand} == {"math"}

    run(main())


def test_no_executor_at_all_falls_back_to_the_generalist() -> None:
    async def main() -> None:
        built = house(down=("math", "math-2"))
        events = await events_of(built, asks())
        assert content(events) == "79"
        (note,) = built.trace.fallbacks
        assert note.role is Role.EXECUTOR
        assert "no ready engine serves math" in note.reason
        outcomes = {t.task_id: t.outcome for t in built.trace.tasks}
        assert outcomes == {"s1": Outcome.ERROR, "s2": Outcome.SKIPPED}

    run(main())


def test_nobody_is_left_to_answer() -> None:
    async def main() -> None:
        built = house(down=("math", "math-2", "generalist"))
        with pytest.raises(EngineUnavailable, match="no ready engine serves generalist"):
            await events_of(built, asks())
        assert built.trace.outcome is Outcome.ERROR
        assert "generalist" in built.trace.error

    run(main())


def test_without_a_verifier_engine_results_are_taken_unverified() -> None:
    async def main() -> None:
        built = house(down=("verifier",))
        assert content(await events_of(built, asks())) == "79"
        (note,) = built.trace.fallbacks
        assert (note.role, note.action) == (Role.VERIFIER, "results are taken unverified")
        assert built.trace.verdicts == ()

    run(main())


def test_a_final_failure_cancels_the_siblings() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        prompt = str(call.messages[-1]["content"])
        if call.model_id == "planner":
            return FORK
        if prompt == "12*7":
            return Reply(error=EngineRejected("no", status=400))
        if prompt == "3+4":
            return Reply(hangs=True)
        return sound(call, ctx)

    async def main() -> None:
        built = house(script)
        assert content(await events_of(built, asks())) == "79"
        assert built.client.aborted == 1
        outcomes = {t.task_id: t.outcome for t in built.trace.tasks}
        assert outcomes == {"s1": Outcome.ERROR, "s2": Outcome.CANCELLED, "s3": Outcome.SKIPPED}
        assert built.client.open_streams == 0

    run(main())
