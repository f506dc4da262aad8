"""Calls that no longer matter are aborted in the engine, over the real client and fake vLLM servers."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace

from appliance.coordinator.options import Sampling
from appliance.domain.model import Role
from appliance.domain.trace import Outcome
from tests.coordinator.house import CHAIN, OPTIONS, content
from tests.coordinator.test_over_http import SCRIPTS, Served, served
from tests.fakes.answers import Fault, FaultKind, last_content
from tests.fakes.polling import until

ROOMY = replace(OPTIONS, sampling={role: Sampling(max_tokens=1000 if role is Role.PLANNER else 64) for role in Role})


def plan(*steps: tuple[str, str, str]) -> str:
    return json.dumps({"steps": [{"id": i, "skill": skill, "do": do} for i, skill, do in steps]})


def aborted(house: Served, model_id: str) -> list[str]:
    return [last_content(request.body) for request in house.servers[model_id].aborted]


async def _said(house: Served) -> str:
    async with aclosing(house.answer()) as answer:
        return content([event async for event in answer])


def test_of_a_rejected_plan_while_it_is_still_written() -> None:
    bad = plan(("s1", "math", "12*7"), ("s2", "math", "$s9"), *((f"s{n}", "math", "1+1") for n in range(3, 9)))
    scripts = SCRIPTS | {"planner": {"*": [bad, CHAIN]}}

    async def main() -> None:
        async with served({"math": Fault(FaultKind.HANG, times=1, match="12*7")}, ROOMY, scripts) as house:
            planner, math = house.servers["planner"], house.servers["math"]
            planner.latency_s = 0.004
            asking = asyncio.create_task(_said(house))
            await until(lambda: math.running == 1)
            await until(lambda: math.running == 0)
            assert planner.running == 1
            assert aborted(house, "math") == ["12*7"]
            assert await asking == "79"
            assert aborted(house, "planner") == []

    asyncio.run(main())


def test_of_a_plan_without_end() -> None:
    scripts = SCRIPTS | {"planner": {"*": [plan(*((f"s{n}", "math", "12*7") for n in range(300))), CHAIN]}}

    async def main() -> None:
        async with served(None, ROOMY, scripts) as house:
            house.servers["planner"].latency_s = 0.0001
            assert await _said(house) == "79"
            first, second = house.servers["planner"].requests
            assert (first.aborted, second.aborted) == (True, False)
            assert house.servers["planner"].running == 0

    asyncio.run(main())


def test_of_what_the_final_result_does_not_need() -> None:
    stray = plan(("s1", "math", "9*9"), ("s2", "math", "12*7"), ("s3", "math", "$s2-5"))
    scripts = SCRIPTS | {"planner": {"*": stray}}

    async def main() -> None:
        async with served({"math": Fault(FaultKind.HANG, match="9*9")}, ROOMY, scripts) as house:
            house.servers["planner"].latency_s = 0.003
            assert await _said(house) == "79"
            assert aborted(house, "math") == ["9*9"]
            (trace,) = house.traces.saved
            assert [t.outcome for t in trace.tasks] == [Outcome.CANCELLED, Outcome.OK, Outcome.OK]

    asyncio.run(main())


def test_of_the_others_when_one_fails_for_good() -> None:
    fork = plan(("s1", "math", "12*7"), ("s2", "text", "reverse AB"), ("s3", "math", "$s1-$s2"))
    scripts = SCRIPTS | {"planner": {"*": fork}}

    async def main() -> None:
        faults = {"math": Fault(FaultKind.HANG), "text": Fault(FaultKind.HTTP, status=400)}
        async with served(faults, ROOMY, scripts) as house:
            house.servers["text"].first_token_s = 0.1
            assert await _said(house) == "79"
            await until(lambda: house.servers["math"].running == 0)
            assert aborted(house, "math") == ["12*7"]
            (trace,) = house.traces.saved
            assert [t.outcome for t in trace.tasks] == [Outcome.CANCELLED, Outcome.ERROR, Outcome.SKIPPED]
            assert [f.action for f in trace.fallbacks] == ["the generalist answers directly"]

    asyncio.run(main())
