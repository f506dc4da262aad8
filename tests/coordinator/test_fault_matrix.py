"""Combinations of faults, many seeds each: a request ends in an answer or in one typed error, and leaves nothing."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.options import BudgetLimits, CoordinatorOptions
from appliance.coordinator.prompts import load_prompt_sets
from appliance.coordinator.strategies import default_strategies
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.fleet import Fleet
from appliance.domain.request import ContentDelta
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Outcome, Trace, Verdict
from appliance.engines.client import HttpEngineClient
from appliance.errors import ApplianceError, BudgetExhausted
from tests.coordinator.fault_cases import Case, Event, cases
from tests.coordinator.house import CHAIN, FORK, OPTIONS, MemoryTraces, arithmetic, asks
from tests.fakes.answers import Answer, Script, last_content
from tests.fakes.fake_vllm import FakeVllm
from tests.fakes.polling import until

SEEDS = 25
HUNG_S = 30.0
"""A request that has not ended by then never will: the deadlines below are a few seconds at most."""
SHORT_S = 1.0
LONG_S = 20.0


def _math(body: Mapping[str, Any]) -> str:
    return f"w;{arithmetic(last_content(body))}"


SOUND: dict[str, Script] = {
    "planner": lambda body: FORK if "fork" in last_content(body) else CHAIN,
    "math": _math,
    "math-2": _math,
    "verifier": {"*": Answer("w;pass", logprobs={"pass": -0.1}, alternatives={"pass": {"fail": -2.4}})},
    "writer": {"*": "There are 79 left."},
    "generalist": {"*": "12*7=84;79"},
}


@dataclass(slots=True)
class Clock:
    """Monotonic, but for the jumps."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@dataclass(frozen=True, slots=True)
class Bench:
    coordinator: Coordinator
    dispatcher: Dispatcher
    traces: MemoryTraces
    servers: Mapping[str, FakeVllm]
    clock: Clock
    ends: dict[str, Exception | str] = field(default_factory=dict)


@asynccontextmanager
async def bench(case: Case, options: CoordinatorOptions) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        servers = {
            model_id: await stack.enter_async_context(
                FakeVllm(
                    model=model_id,
                    script=case.scripts.get(model_id, script),
                    latency_s=0.05 if model_id == case.victim else 0.002,
                    seed=7,
                )
            )
            for model_id, script in SOUND.items()
        }
        client, fleet, traces, clock = HttpEngineClient(), Fleet(), MemoryTraces(), Clock()
        stack.push_async_callback(client.close)
        fleet.publish(tuple(server.status() for server in servers.values()))
        sets = load_prompt_sets(["starter", "instruct"])
        dispatcher = Dispatcher(fleet, client, clock)
        coordinator = Coordinator(
            options,
            {model_id: sets["instruct" if model_id == "writer" else "starter"] for model_id in SOUND},
            dispatcher,
            traces,
            default_strategies(),
            salt_secret=b"s",
            clock=clock,
        )
        yield Bench(coordinator, dispatcher, traces, servers, clock)


def _options(case: Case, rng: random.Random) -> CoordinatorOptions:
    roles = replace(
        OPTIONS.roles, executors={"math": ("math", "math-2")}, synthesizer=("writer",) if "writer" in case.name else ()
    )
    wall_s = SHORT_S if case.lasts else LONG_S
    return replace(
        OPTIONS,
        roles=roles,
        budget=BudgetLimits(calls=24, tokens=20_000, wall_s=wall_s, tasks=6),
        verification=replace(OPTIONS.verification, replans=rng.randrange(2)),
    )


async def _asked(built: Bench, case: Case, number: int) -> None:
    """One request, start to end; how it ended stands in `ends`."""
    request_id, rng = f"r{number:02}", random.Random(f"{case.name} {number}")
    for model_id, fault in case.draw(rng).items():
        built.servers[model_id].faults.append(replace(fault, request_id=f"{request_id}-"))
    easy = "single" in case.name or rng.random() < 0.15
    question = f"{'What' if easy else 'What then, for each,'} is 12*7-5? {rng.choice(('fork', 'chain'))} {number}"
    tenant = Tenant("acme", keep_content=True)
    request = asks(question, streamed=rng.random() < 0.5)
    stream = built.coordinator.answer(request, request_id=request_id, trace_id=f"t{number:02}", tenant=tenant)
    leaves_after = rng.randrange(1, 5) if case.event is Event.CALLER_LEAVES else None
    said, events = "", 0
    try:
        async with asyncio.timeout(HUNG_S), aclosing(stream):
            async for event in stream:
                events += 1
                said += event.text if isinstance(event, ContentDelta) else ""
                if events == leaves_after:
                    built.ends[request_id] = "left"
                    return
    except ApplianceError as error:
        built.ends[request_id] = error
    else:
        built.ends[request_id] = f"answer: {said}"


async def _event(built: Bench, case: Case) -> None:
    """Let it happen while somebody is being answered."""
    match case.event:
        case Event.ENGINE_KILLED:
            victim = built.servers[case.victim]
            await until(lambda: victim.running)
            await victim.stop()
        case Event.CLOCK_FORWARD:
            await until(lambda: built.servers["planner"].running)
            built.clock.ahead_s += 3_600
        case Event.CLOCK_BACK:
            await until(lambda: built.servers["planner"].running)
            built.clock.ahead_s -= 3_600


async def _all_asked(case: Case) -> tuple[Bench, list[Trace]]:
    rng = random.Random(case.name)
    async with bench(case, _options(case, rng)) as built:
        async with asyncio.TaskGroup() as group:
            for number in range(SEEDS):
                group.create_task(_asked(built, case, number))
            group.create_task(_event(built, case))
        assert (built.dispatcher.in_flight, built.dispatcher.waiting) == ({}, {})
        with suppress(TimeoutError):
            await until(lambda: not any(server.running for server in built.servers.values()), 2.0)
        assert not [model_id for model_id, server in built.servers.items() if server.running]
        await built.coordinator.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left
    return built, sorted(built.traces.saved, key=lambda trace: trace.trace_id)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_each_request_ends_and_leaves_nothing(case: Case) -> None:
    files = _open_files()
    built, traces = asyncio.run(_all_asked(case))
    assert [trace.request_id for trace in traces] == [f"r{number:02}" for number in range(SEEDS)]
    for trace in traces:
        _check_end(case, built.ends[trace.request_id], trace)
        _check_account(built, trace)
    assert _open_files() <= files
    assert not case.visible or any(_struck(trace) for trace in traces), "the fault hit nobody"


def test_there_are_enough_combinations() -> None:
    assert len({case.name for case in cases()}) == len(cases()) >= 40


def _check_end(case: Case, end: Exception | str, trace: Trace) -> None:
    """An answer, one typed error, or the caller left; an answer where one model could still give one."""
    if end == "left":
        assert trace.outcome in {Outcome.CANCELLED, Outcome.OK}
        return
    if isinstance(end, Exception):
        assert trace.outcome is Outcome.ERROR
        assert trace.error == str(end)
        late = case.lasts and isinstance(end, BudgetExhausted)
        begun = trace.answer is not None  # what the caller has read can't be taken back
        assert not case.answered or late or begun or _hit_alone(case), end
        return
    assert trace.outcome is Outcome.OK
    assert end.removeprefix("answer: ")


def _struck(trace: Trace) -> bool:
    """The trace shows that something went wrong."""
    return (
        trace.outcome is not Outcome.OK
        or bool(trace.fallbacks)
        or any(call.outcome is not Outcome.OK or call.attempt > 1 for call in trace.calls)
        or any(verdict.verdict is not Verdict.PASS for verdict in trace.verdicts)
    )


def _hit_alone(case: Case) -> bool:
    """The only model that was asked is the one that fails: nobody is left to answer."""
    return "single" in case.name or "generalist" in case.name


def _check_account(built: Bench, trace: Trace) -> None:
    """Every call is booked once, and nothing else is."""
    assert trace.usage.total_tokens == sum(call.usage.total_tokens for call in trace.calls) == trace.budget.used_tokens
    assert len({call.call_id for call in trace.calls}) == len(trace.calls)
    sent = [call for call in trace.calls if call.engine_id]
    assert trace.budget.used_calls == len(sent)
    served = [
        record
        for server in built.servers.values()
        for record in server.requests
        if record.request_id.startswith(f"{trace.request_id}-")
    ]
    assert len(served) <= len(sent)


def _open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
