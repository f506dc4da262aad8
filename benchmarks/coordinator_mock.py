"""A coordinator over engines that are a clock and nothing else, and the same calls by bare asyncio beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.coordinator.accounts import Accounts
from appliance.coordinator.attempts import executor_ask
from appliance.coordinator.budget import Budget
from appliance.coordinator.calls import Caller, CallPurpose
from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.options import BudgetLimits, CoordinatorOptions, DirectRule, Roles, Sampling, Verification
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.prompts import load_prompt_sets
from appliance.coordinator.recorder import Identity, Recorder
from appliance.coordinator.strategies import default_strategies
from appliance.coordinator.task_graph import TaskInput
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.journal import NO_JOURNAL
from appliance.domain.model import Role
from appliance.domain.request import CallChunk, CallContext, ChatMessage, ChatRequest, EngineCall, Finished, Usage
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Trace
from appliance.ledger.database import Database
from appliance.ledger.journal import JournalFile
from appliance.ledger.trace_store import TraceStore

Needs = Mapping[str, tuple[str, ...]]
"""Tasks in an order in which each comes after what it needs."""

MODELS = ("planner", "worker", "generalist")
OPTIONS = CoordinatorOptions(
    roles=Roles(generalist=("generalist",), planner=("planner",), executors={"math": ("worker",)}),
    direct=DirectRule(cues=(".",), min_cues=1),
    budget=BudgetLimits(calls=64, tokens=64_000, wall_s=600, tasks=32),
    verification=Verification(replans=0, infer_checks=False),
)
_TENANT = Tenant("acme")
_ENGINE = EngineStatus("", "", EngineState.READY, "http://mock", "", 8192, 256)


def wide(tasks: int) -> Needs:
    """Tasks side by side, and a last one that needs them all."""
    names = tuple(f"s{number}" for number in range(1, tasks))
    return {**dict.fromkeys(names, ()), f"s{tasks}": names}


def chain(tasks: int) -> Needs:
    """Tasks one after the other."""
    return {f"s{n}": (f"s{n - 1}",) if n > 1 else () for n in range(1, tasks + 1)}


def diamond() -> Needs:
    """Five tasks: one, three that need it, one that needs those."""
    return {"s1": (), "s2": ("s1",), "s3": ("s1",), "s4": ("s1",), "s5": ("s2", "s3", "s4")}


def longest(needs: Needs) -> int:
    """Tasks on the longest path."""
    depth: dict[str, int] = {}
    for name, before in needs.items():
        depth[name] = 1 + max((depth[other] for other in before), default=0)
    return max(depth.values())


def plan_of(needs: Needs) -> str:
    """The graph as a planner writes it."""
    steps = [
        {"id": name, "skill": "math", "do": "+".join(f"${other}" for other in before) or f"{name[1:]}+1"}
        for name, before in needs.items()
    ]
    return json.dumps({"steps": steps})


@dataclass(slots=True)
class MockEngines:
    """A ChatClient: every call takes `call_s` (0: one turn of the loop) and gives one chunk and its usage."""

    plan: str = ""
    call_s: float = 0.0

    async def stream_chat(self, engine: EngineStatus, call: EngineCall, ctx: CallContext) -> AsyncGenerator[CallChunk]:
        """The answer."""
        await asyncio.sleep(self.call_s)
        yield CallChunk(self.plan if call.model_id == "planner" else "working;7", engine_id=engine.engine_id)
        yield CallChunk(finish_reason="stop", usage=Usage(10, 5), engine_id=engine.engine_id)


class _NoTraces:
    async def save(self, trace: Trace) -> None:
        """Nowhere."""


@dataclass(slots=True)
class Bench:
    """What requests are sent to. `answer` is the whole of it, `calls` and `bare` do less of the same."""

    coordinator: Coordinator
    dispatcher: Dispatcher
    engines: MockEngines
    prompts: PromptSet

    async def answer(self, name: str) -> Finished:
        """One request, from its acceptance to its last event."""
        request = ChatRequest(model="auto", messages=(ChatMessage("user", "how many are left?"),))
        stream = self.coordinator.answer(request, request_id=name, trace_id=name, tenant=_TENANT)
        last = [event async for event in stream][-1]
        assert isinstance(last, Finished)
        return last

    async def calls(self, name: str, needs: Needs) -> None:
        """The same calls with nothing around them but their order: prompt, budget, dispatch, usage."""
        clock = asyncio.get_running_loop().time
        limits = self.coordinator.limits
        accounts = Accounts(Budget(OPTIONS.budget, clock()), limits.account(_TENANT).request(), limits)
        recorder = Recorder(Identity(name, name, "acme", "auto", 0.0), keep_content=False)
        gpu_s_of = self.coordinator.admission.gpu_s_of
        caller = Caller(
            self.dispatcher,
            accounts,
            recorder,
            cache_salt="salt",
            labels=frozenset(),
            policy=_TENANT.policy,
            clock=clock,
            gpu_s_of=gpu_s_of,
        )

        async def call(task_id: str, inputs: Mapping[str, str]) -> str:
            task = TaskInput(task_id, "math", "1+1", "how many?", inputs)
            ask = executor_ask(self.prompts, task, Sampling(), 0.0, 1, None)
            made = await caller.complete(CallPurpose(Role.EXECUTOR, task_id), "worker", ask)
            return self.prompts.answer_of(made.text)

        with self.dispatcher.opened(name):
            await _in_order(needs, call)

    async def bare(self, name: str, needs: Needs) -> None:
        """The same calls by bare asyncio."""
        ctx = CallContext(name, name, "", Role.EXECUTOR, "acme", 0, 0.0, 0, "salt")

        async def call(_task_id: str, _inputs: Mapping[str, str]) -> str:
            wanted = EngineCall("worker", ({"role": "user", "content": "1+1"},), 512)
            async with aclosing(self.engines.stream_chat(_ENGINE, wanted, ctx)) as chunks:
                return "".join([chunk.text async for chunk in chunks])

        await _in_order(needs, call)


async def _in_order(needs: Needs, call: Callable[[str, Mapping[str, str]], Awaitable[str]]) -> None:
    """Each call as soon as those it needs have ended."""
    tasks: dict[str, asyncio.Task[str]] = {}

    async def one(name: str) -> str:
        inputs = {other: await tasks[other] for other in needs[name]}
        return await call(name, inputs)

    async with asyncio.TaskGroup() as group:
        for name in needs:
            tasks[name] = group.create_task(one(name))


@asynccontextmanager
async def bench(plan: str, *, call_s: float = 0.0, directory: Path | None = None) -> AsyncIterator[Bench]:
    """A coordinator; with a directory its journal and its ledger are files there, else there are none."""
    engines, fleet, clock = MockEngines(plan, call_s), Fleet(), asyncio.get_running_loop().time
    fleet.publish(
        tuple(EngineStatus(f"{name}-0", name, EngineState.READY, "http://mock", "", 8192, 256) for name in MODELS)
    )
    (prompts,) = load_prompt_sets(("starter",)).values()
    dispatcher = Dispatcher(fleet, engines, clock)
    journal = JournalFile(directory / "journal") if directory else None
    database = Database(directory / "ledger") if directory else None
    coordinator = Coordinator(
        OPTIONS,
        dict.fromkeys(MODELS, prompts),
        dispatcher,
        _NoTraces() if database is None else TraceStore(database),
        default_strategies(),
        salt_secret=b"secret",
        journal=NO_JOURNAL if journal is None else journal,
        clock=clock,
    )
    try:
        yield Bench(coordinator, dispatcher, engines, prompts)
    finally:
        await coordinator.close()
        if journal is not None and database is not None:
            journal.close()
            database.close()
