"""The whole request path: a real HTTP door, the coordinator with a team of instruct models, fake vLLM servers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import openai

from appliance.bootstrap.server import HttpServer, listen
from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.prompt_set import SPEECHLESS
from appliance.coordinator.prompts import load_prompt_sets
from appliance.coordinator.strategies import default_strategies
from appliance.coordinator.task_graph import substitute
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.endpoint import EngineTask
from appliance.domain.fleet import Fleet
from appliance.domain.policy import OPEN, DataPolicy
from appliance.domain.tenant import Tenant
from appliance.engines.client import HttpEngineClient
from appliance.gateway.app import GatewayParts, build
from appliance.gateway.auth import KeyRing
from appliance.gateway.openai.models import ModelListing
from appliance.telemetry.metrics import Metrics
from tests.coordinator.house import CHAIN, OPTIONS, MemoryTraces, arithmetic
from tests.fakes.answers import Answer, Body, Fault, last_content
from tests.fakes.fake_coordinator import FakeTraces, FakeUsage
from tests.fakes.fake_vllm import FakeVllm
from tests.gateway.door import KEY

MODELS = ("planner", "math", "math-2", "text", "verifier", "writer", "generalist", "embedder", "reranker")
POOLING = {"embedder": EngineTask.EMBED, "reranker": EngineTask.RERANK}
TEAM = replace(
    OPTIONS,
    tasks=POOLING,
    image_readers=frozenset({"generalist"}),
    roles=replace(OPTIONS.roles, synthesizer=("writer",), tool_callers=frozenset({"writer", "generalist"})),
)
PASS = Answer("right\npass", logprobs={"pass": -0.1}, alternatives={"pass": {"fail": -2.4}})


def tool_call(name: str, *arguments: str) -> Answer:
    """A call as vLLM's parsers stream it: its name first, then its arguments in pieces."""
    head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    pieces = [{"index": 0, "function": {"arguments": piece}} for piece in arguments]
    deltas: list[Mapping[str, Any]] = [{"tool_calls": [piece]} for piece in (head, *pieces)]
    return Answer("", deltas=tuple(deltas), finish_reason="tool_calls")


def written(body: Body) -> Answer | str:
    """What whoever speaks last says: a call of the first tool, a JSON document, or a sentence, as the body asks."""
    if body.get("tools") and last_content(body).startswith("Sell"):
        return tool_call(body["tools"][0]["function"]["name"], '{"pens":', " 5}")
    if body.get("response_format"):
        return json.dumps({"left": 79, "unit": "pens"})
    return "There are 79 pens left."


def _executed(body: Body) -> str:
    instruction = re.search(r'^Instruction: "([^"]*)"', last_content(body), re.MULTILINE)
    assert instruction is not None
    inputs = dict(re.findall(r'^(s\w+): "([^"]*)"', last_content(body), re.MULTILINE))
    return str(arithmetic(substitute(instruction[1], inputs)))


SCRIPTS: Mapping[str, Any] = {
    "planner": {"*": CHAIN},
    "math": _executed,
    "math-2": _executed,
    "text": {"*": "x"},
    "verifier": {"*": PASS},
    "writer": written,
    "generalist": written,
    "embedder": None,
    "reranker": None,
}


@dataclass(frozen=True, slots=True)
class Pool:
    """What stands behind the door."""

    client: openai.AsyncOpenAI
    servers: Mapping[str, FakeVllm]
    traces: MemoryTraces

    def bodies(self, *models: str) -> list[dict[str, Any]]:
        """What the engines of these models were asked."""
        return [body for model in models for body in self.servers[model].bodies()]


@asynccontextmanager
async def pool(
    options: CoordinatorOptions = TEAM,
    faults: Mapping[str, Sequence[Fault]] | None = None,
    latency_s: float = 0.0,
    policy: DataPolicy = OPEN,
) -> AsyncIterator[Pool]:
    """All of it in this loop, and a stock client in front of it."""
    async with AsyncExitStack() as stack:
        servers = {}
        for model_id in MODELS:
            fake = FakeVllm(model=model_id, script=SCRIPTS[model_id], latency_s=latency_s)
            fake.faults.extend((faults or {}).get(model_id, ()))
            servers[model_id] = await stack.enter_async_context(fake)
        engines, fleet, traces = HttpEngineClient(), Fleet(), MemoryTraces()
        stack.push_async_callback(engines.close)
        fleet.publish(tuple(server.status() for server in servers.values()))
        (instruct,) = load_prompt_sets(["instruct"]).values()
        coordinator = Coordinator(
            options,
            {model_id: SPEECHLESS if model_id in POOLING else instruct for model_id in MODELS},
            Dispatcher(fleet, engines, policy=policy),
            traces,
            default_strategies(),
            salt_secret=b"s",
            policy=policy,
        )
        parts = GatewayParts(
            answerer=coordinator,
            forecaster=coordinator,
            traces=FakeTraces(),
            usage=FakeUsage(),
            fleet=fleet,
            metrics=Metrics(models=MODELS, fleet=fleet),
            authenticator=KeyRing([KEY], Tenant("acme")),
            role_models={},
            models=[ModelListing("auto", "appliance", virtual=True), *(ModelListing(m, "nobody") for m in MODELS)],
            max_body_bytes=100_000,
            keep_alive_s=10.0,
        )
        url = await stack.enter_async_context(_served(parts))
        client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=10)
        yield Pool(await stack.enter_async_context(client), servers, traces)


@asynccontextmanager
async def _served(parts: GatewayParts) -> AsyncIterator[str]:
    server = HttpServer(build(parts, version="0"), listen("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve())
    try:
        yield server.url
    finally:
        server.stop()
        await serving
