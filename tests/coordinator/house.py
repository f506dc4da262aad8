"""A small house for tests: starter roles over a scripted client, on virtual time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from appliance.coordinator.coordinator import Coordinator, Learned
from appliance.coordinator.options import BudgetLimits, CoordinatorOptions, DirectRule, Roles, Sampling, Verification
from appliance.coordinator.prompts import load_prompt_sets
from appliance.coordinator.strategies import default_strategies
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.journal import NO_JOURNAL, Journal
from appliance.domain.model import Role
from appliance.domain.policy import OPEN, DataPolicy
from appliance.domain.request import (
    AnswerEvent,
    CallContext,
    ChatMessage,
    ChatRequest,
    ContentDelta,
    EngineCall,
    Finished,
    ReasoningDelta,
)
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Trace
from tests.fakes.scripted_client import Reply, ScriptedClient

QUESTION = "Mia has 12 boxes with 7 pens each and then gives away 5. How many are left?"
CHAIN = '{"steps": [{"id": "s1", "skill": "math", "do": "12*7"}, {"id": "s2", "skill": "math", "do": "$s1-5"}]}'
FORK = (
    '{"steps": [{"id": "s1", "skill": "math", "do": "12*7"}, {"id": "s2", "skill": "math", "do": "3+4"},'
    ' {"id": "s3", "skill": "math", "do": "$s1+$s2"}]}'
)

MODELS = ("planner", "math", "math-2", "text", "verifier", "generalist", "generalist-2")

OPTIONS = CoordinatorOptions(
    roles=Roles(
        generalist=("generalist",),
        planner=("planner",),
        executors={"math": ("math", "math-2"), "text": ("text",)},
        verifier=("verifier",),
    ),
    direct=DirectRule(cues=(r"\beach\b", r"\bthen\b"), min_cues=2),
    budget=BudgetLimits(calls=32, tokens=16_000, wall_s=60, tasks=8),
    verification=Verification(
        threshold=0.5,
        repair_attempts=2,
        repair_temperature=0.8,
        other_model_attempts=0,
        replans=0,
        infer_checks=False,
    ),
    sampling={role: Sampling(max_tokens=64) for role in Role},
)


def sound(call: EngineCall, _ctx: CallContext) -> Reply | str:
    """Every model does its work well."""
    prompt = str(call.messages[-1]["content"])
    if call.model_id == "planner":
        return CHAIN
    if call.model_id.startswith("math"):
        return f"working;{arithmetic(prompt)}"
    if call.model_id == "verifier":
        claim, _, result = prompt.partition(" = ")
        right = str(arithmetic(claim)) == result
        return Reply("again;" + ("pass" if right else "fail"), probability=0.99 if right else 0.02)
    return Reply(pieces=("12*7=84", ",84-5=79", ";", "79"))


def arithmetic(operation: str) -> int:
    """The value of `12*7`."""
    match = re.fullmatch(r"(\d+)([-+*])(\d+)", operation)
    assert match, operation
    a, b = int(match[1]), int(match[3])
    return {"+": a + b, "-": a - b, "*": a * b}[match[2]]


@dataclass(slots=True)
class MemoryTraces:
    """A trace sink."""

    saved: list[Trace] = field(default_factory=list)

    async def save(self, trace: Trace) -> None:
        self.saved.append(trace)
        await asyncio.sleep(0)

    async def get(self, trace_id: str) -> Trace | None:
        """By id."""
        return next((trace for trace in self.saved if trace.trace_id == trace_id), None)


@dataclass(slots=True)
class House:
    """A coordinator with everything below it."""

    coordinator: Coordinator
    client: ScriptedClient
    fleet: Fleet
    traces: MemoryTraces
    dispatcher: Dispatcher

    @property
    def trace(self) -> Trace:
        """The only trace."""
        (trace,) = self.traces.saved
        return trace


BUILT: list[House] = []
"""The houses of the running test; `conftest` looks at their accounts when it is over."""


def house(
    script: Callable[[EngineCall, CallContext], Reply | str] = sound,
    *,
    options: CoordinatorOptions = OPTIONS,
    prompt_sets: Mapping[str, str] | None = None,
    down: tuple[str, ...] = (),
    policy: DataPolicy = OPEN,
    journal: Journal = NO_JOURNAL,
    learned: Learned | None = None,
) -> House:
    """Build one; `down` models have no ready engine. Call it inside a running loop."""
    sets = load_prompt_sets(("starter", "instruct"))
    names = dict.fromkeys(MODELS, "starter") | dict(prompt_sets or {})
    fleet, client, traces = Fleet(), ScriptedClient(script), MemoryTraces()
    fleet.publish(tuple(engine(model_id, ready=model_id not in down) for model_id in names))
    clock = asyncio.get_running_loop().time
    dispatcher = Dispatcher(fleet, client, clock, policy=policy)
    coordinator = Coordinator(
        options,
        {model_id: sets[name] for model_id, name in names.items()},
        dispatcher,
        traces,
        default_strategies(),
        salt_secret=b"secret",
        policy=policy,
        journal=journal,
        learned=learned,
        clock=clock,
        wall_clock=lambda: 1_700_000_000.0,
    )
    built = House(coordinator, client, fleet, traces, dispatcher)
    BUILT.append(built)
    return built


def engine(model_id: str, *, ready: bool = True, replica: int = 0, max_num_seqs: int = 8) -> EngineStatus:
    """An engine that serves one model."""
    state = EngineState.READY if ready else EngineState.FAILED
    engine_id = f"{model_id}-{replica}"
    return EngineStatus(engine_id, model_id, state, f"http://{engine_id}", "key", 1024, max_num_seqs)


def asks(question: str = QUESTION, *, model: str = "auto", **fields: Any) -> ChatRequest:
    """A request of one user message."""
    return ChatRequest(model=model, messages=(ChatMessage("user", question),), **fields)


async def events_of(built: House, request: ChatRequest, *, keep_content: bool = False) -> list[AnswerEvent]:
    """All events of one answer."""
    stream = built.coordinator.answer(
        request, request_id="r1", trace_id="t1", tenant=Tenant("acme", keep_content=keep_content)
    )
    return [event async for event in stream]


def content(events: list[AnswerEvent]) -> str:
    """The answer."""
    return "".join(event.text for event in events if isinstance(event, ContentDelta))


def reasoning(events: list[AnswerEvent]) -> str:
    """Progress and working."""
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def finished(events: list[AnswerEvent]) -> Finished:
    """The last event."""
    assert isinstance(events[-1], Finished)
    return events[-1]


def budgeted(**limits: Any) -> CoordinatorOptions:
    """The options with another budget."""
    return replace(OPTIONS, budget=replace(OPTIONS.budget, **limits))
