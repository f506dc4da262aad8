"""The whole request path in this process, without a socket: the door, the coordinator, engines that play a script."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from fastapi import FastAPI

from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.prompt_set import SPEECHLESS
from appliance.coordinator.prompts import load_prompt_sets
from appliance.coordinator.strategies import default_strategies
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.endpoint import EngineTask
from appliance.domain.fleet import Fleet
from appliance.domain.request import CallContext, EngineCall
from appliance.domain.tenant import Tenant
from appliance.gateway.app import GatewayParts, build
from appliance.gateway.auth import KeyRing
from appliance.gateway.openai.models import ModelListing
from appliance.telemetry.metrics import Metrics
from tests.coordinator.house import MODELS, OPTIONS, MemoryTraces, engine, sound
from tests.fakes.fake_coordinator import FakeTraces, FakeUsage
from tests.fakes.scripted_client import Reply, Script, ScriptedClient
from tests.gateway.door import KEY

POOLING = {"embedder": EngineTask.EMBED, "reranker": EngineTask.RERANK}
ALL = (*MODELS, *POOLING)


@dataclass(frozen=True, slots=True)
class Inside:
    """What is in it."""

    app: FastAPI
    coordinator: Coordinator
    dispatcher: Dispatcher
    metrics: Metrics
    traces: MemoryTraces
    client: ScriptedClient
    fleet: Fleet


def careful(call: EngineCall, ctx: CallContext) -> Reply | str:
    """Every model does its work well, as far as it understands what it is asked."""
    try:
        return sound(call, ctx)
    except (AssertionError, KeyError, IndexError):
        return "I don't understand."


def inside(script: Script = careful, *, tenant: Tenant | None = None, max_body_bytes: int = 100_000) -> Inside:
    """All of it. It runs on the loop that the application is called on."""
    (starter,) = load_prompt_sets(("starter",)).values()
    fleet, client, traces = Fleet(), ScriptedClient(script), MemoryTraces()
    fleet.publish(tuple(replace(engine(model_id), task=POOLING.get(model_id, EngineTask.GENERATE)) for model_id in ALL))
    dispatcher, metrics = Dispatcher(fleet, client), Metrics(models=ALL, fleet=fleet)
    metrics.watch_lines(dispatcher.lines.levels, dispatcher.lines.longest_waits_s)
    coordinator = Coordinator(
        replace(OPTIONS, tasks=POOLING, image_readers=frozenset({"generalist"})),
        {model_id: SPEECHLESS if model_id in POOLING else starter for model_id in ALL},
        dispatcher,
        traces,
        default_strategies(),
        salt_secret=b"secret",
        clock=time.monotonic,
    )
    parts = GatewayParts(
        answerer=coordinator,
        forecaster=coordinator,
        traces=FakeTraces(traces.saved),
        usage=FakeUsage(),
        fleet=fleet,
        metrics=metrics,
        authenticator=KeyRing([KEY], tenant or Tenant("default")),
        role_models={"generalist": ("generalist",)},
        models=[ModelListing("auto", "appliance", virtual=True), *(ModelListing(m, "nobody") for m in ALL)],
        max_body_bytes=max_body_bytes,
        keep_alive_s=10.0,
    )
    return Inside(build(parts, version="0"), coordinator, dispatcher, metrics, traces, client, fleet)
