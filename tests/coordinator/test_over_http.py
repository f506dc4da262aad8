"""The coordinator over the real engine client and fake vLLM servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.prompts import load_prompt_sets
from appliance.coordinator.strategies import default_strategies
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.fleet import Fleet
from appliance.domain.request import AnswerEvent
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Outcome, Verdict
from appliance.engines.client import HttpEngineClient
from tests.coordinator.house import CHAIN, OPTIONS, MemoryTraces, arithmetic, asks, content, finished
from tests.fakes.answers import Answer, Fault, FaultKind, last_content
from tests.fakes.fake_vllm import FakeVllm
from tests.fakes.polling import until


def _math(body: Mapping[str, Any]) -> str:
    return f"w;{arithmetic(last_content(body))}"


SCRIPTS: dict[str, Any] = {
    "planner": {"*": CHAIN},
    "math": _math,
    "math-2": _math,
    "text": {"*": "x"},
    "verifier": {"*": Answer("w;pass", logprobs={"pass": -0.1}, alternatives={"pass": {"fail": -2.4}})},
    "generalist": {"*": "12*7=84;79"},
}


@dataclass(frozen=True, slots=True)
class Served:
    coordinator: Coordinator
    traces: MemoryTraces
    servers: Mapping[str, FakeVllm]

    def answer(self) -> AsyncGenerator[AnswerEvent, None]:
        return self.coordinator.answer(asks(), request_id="r", trace_id="t", tenant=Tenant("acme"))


@asynccontextmanager
async def served(
    faults: Mapping[str, Fault] | None = None,
    options: CoordinatorOptions = OPTIONS,
    scripts: Mapping[str, Any] = SCRIPTS,
) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        servers = {}
        for model_id, script in scripts.items():
            fault = (faults or {}).get(model_id)
            servers[model_id] = await stack.enter_async_context(
                FakeVllm(model=model_id, script=script, faults=[fault] if fault else [])
            )
        client, fleet, traces = HttpEngineClient(), Fleet(), MemoryTraces()
        stack.push_async_callback(client.close)
        fleet.publish(tuple(server.status() for server in servers.values()))
        (starter,) = load_prompt_sets(["starter"]).values()
        coordinator = Coordinator(
            options,
            dict.fromkeys(scripts, starter),
            Dispatcher(fleet, client),
            traces,
            default_strategies(),
            salt_secret=b"s",
        )
        yield Served(coordinator, traces, servers)


def test_the_whole_way_over_http() -> None:
    async def main() -> None:
        async with served() as house:
            events = [event async for event in house.answer()]
            (trace,) = house.traces.saved
            assert content(events) == "79"
            assert finished(events).usage == trace.usage
            assert trace.usage.total_tokens > 0
            assert [v.verdict for v in trace.verdicts] == [Verdict.PASS] * 2
            assert [round(v.probability, 2) for v in trace.verdicts] == [0.91] * 2
            planner = house.servers["planner"].bodies()[0]
            assert "regex" in planner["structured_outputs"]
            assert planner["max_tokens"] == 64
            assert not any(call.usage_estimated for call in trace.calls)

    asyncio.run(main())


@pytest.mark.parametrize("model_id", ["planner", "math", "verifier", "generalist"])
@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.SLOW])
def test_any_fault_of_any_role_ends_in_an_answer(kind: FaultKind, model_id: str) -> None:
    options = replace(OPTIONS, budget=replace(OPTIONS.budget, wall_s=1.0))

    async def main() -> None:
        async with served({model_id: Fault(kind, after_tokens=2)}, options) as house:
            assert content([event async for event in house.answer()])
            (trace,) = house.traces.saved
            assert trace.duration_s < 1.5
            assert trace.budget.used_tokens == trace.usage.total_tokens
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left

    asyncio.run(main())


def test_a_caller_that_leaves_frees_every_engine_within_100_ms() -> None:
    async def main() -> None:
        async with served({"math": Fault(FaultKind.HANG)}) as house:
            stream = house.answer()
            for _ in range(2):
                await anext(stream)
            await until(lambda: house.servers["math"].running == 1)
            left_s = time.monotonic()
            await stream.aclose()
            await until(lambda: house.servers["math"].running == 0)
            assert time.monotonic() - left_s < 0.1
            (trace,) = house.traces.saved
            assert trace.outcome is Outcome.CANCELLED

    asyncio.run(main())
