"""The further endpoints on real vLLM, through the gateway; and whose prefixes are found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.prompt_set import SPEECHLESS
from appliance.coordinator.prompts import load_prompt_sets
from appliance.coordinator.strategies import default_strategies
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.endpoint import EngineTask
from appliance.domain.engine import EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.tenant import ALL_SCOPES, Tenant
from appliance.engines.client import HttpEngineClient
from appliance.engines.launcher import status_of
from appliance.gateway.app import GatewayParts, build
from appliance.gateway.auth import KeyRing
from appliance.telemetry.metrics import Metrics
from tests.coordinator.house import OPTIONS, MemoryTraces
from tests.e2e.test_engines import DRAIN_S, KEY, WEIGHTS, launcher_in, run
from tests.fakes.engine_commands import fake_specs
from tests.fakes.fake_coordinator import FakeTraces, FakeUsage
from tests.gateway.door import KEY as CALLERS_KEY
from tests.gateway.door import drive

pytestmark = pytest.mark.e2e

TEXT = "Take 12 boxes of 7 pens, then give 5 pens away. How many are left?"
PROMPT_TOKENS = 400
"""Several blocks: only full ones are found again, and vLLM's on the CPU have 128 tokens."""


def door_of(tenant: str, coordinator: Coordinator, fleet: Fleet) -> FastAPI:
    """The gateway as this tenant sees it."""
    parts = GatewayParts(
        answerer=coordinator,
        forecaster=coordinator,
        traces=FakeTraces(),
        usage=FakeUsage(),
        fleet=fleet,
        metrics=Metrics(models=(), fleet=fleet),
        authenticator=KeyRing([CALLERS_KEY], Tenant(tenant, scopes=ALL_SCOPES)),
        role_models={},
        models=[],
        max_body_bytes=100_000,
        keep_alive_s=10.0,
    )
    return build(parts, version="0")


async def asked(app: FastAPI, path: str, **body: Any) -> Any:
    reply = await drive(app, "POST", path, json.dumps(body).encode())
    assert reply.status == 200, reply.body
    return reply.json()


def coordinator_of(engine: EngineStatus, client: HttpEngineClient) -> tuple[Coordinator, Fleet]:
    fleet = Fleet()
    fleet.publish((engine,))
    (starter,) = load_prompt_sets(("starter",)).values()
    speaks = engine.task is EngineTask.GENERATE
    sets = {engine.model_id: starter if speaks else SPEECHLESS, "generalist": starter}
    options = replace(
        OPTIONS,
        roles=replace(OPTIONS.roles, planner=(), executors={}, verifier=()),
        tasks={engine.model_id: engine.task},
    )
    made = Coordinator(
        options, sets, Dispatcher(fleet, client), MemoryTraces(), default_strategies(), salt_secret=b"of this house"
    )
    return made, fleet


def test_a_prefix_is_found_for_the_same_tenant_only(tmp_path: Path) -> None:
    async def main() -> None:
        [spec] = fake_specs("starter-generalist")
        spec = replace(spec, model_path=WEIGHTS / "starter-generalist", max_model_len=768)
        async with launcher_in(tmp_path) as (launcher, client):
            process = await launcher.launch(spec, KEY, lambda: None)
            try:
                coordinator, fleet = coordinator_of(status_of(spec, KEY), client)
                ours, theirs = (door_of(tenant, coordinator, fleet) for tenant in ("ours", "theirs"))
                await prefixes(ours, theirs)
                await texts_and_tokens(ours)
            finally:
                await process.stop(DRAIN_S)

    run(main())


async def prefixes(ours: FastAPI, theirs: FastAPI) -> None:
    tokens = (await asked(ours, "/tokenize", model="starter-generalist", prompt=TEXT))["tokens"]
    prompt = (tokens * PROMPT_TOKENS)[:PROMPT_TOKENS]

    async def cached(app: FastAPI, **fields: Any) -> int:
        answer = await asked(
            app, "/v1/completions", model="starter-generalist", prompt=prompt, max_tokens=1, temperature=0, **fields
        )
        found: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
        return found

    assert await cached(ours) == 0
    assert await cached(ours) > 0, "the same tenant finds its own prefix"
    assert await cached(theirs) == 0, "another one does not"
    assert await cached(theirs, cache_salt="chosen by the caller") > 0, "a salt of the caller's changes nothing"
    assert await cached(ours, cache_salt="chosen by the caller") > 0


async def texts_and_tokens(app: FastAPI) -> None:
    model = "starter-generalist"
    tokens = await asked(app, "/tokenize", model=model, prompt="12*7")
    assert tokens["count"] == len(tokens["tokens"]) > 0
    assert (await asked(app, "/detokenize", model=model, tokens=tokens["tokens"]))["prompt"].endswith("12*7")
    said = await asked(
        app,
        "/v1/completions",
        model=model,
        prompt="12*7",
        max_tokens=6,
        n=2,
        logprobs=1,
        echo=True,
        temperature=1,
        seed=1,
    )
    assert [choice["index"] for choice in said["choices"]] == [0, 1]
    for choice in said["choices"]:
        assert choice["text"].startswith("12*7")
        assert len(choice["logprobs"]["tokens"]) == len(choice["logprobs"]["token_logprobs"])
    chat = await asked(
        app, "/v1/chat/completions", model=model, messages=[{"role": "user", "content": "12*7"}], n=3, max_tokens=4,
        temperature=1,
    )  # fmt: skip
    assert len(chat["choices"]) == 3
    response = await asked(app, "/v1/responses", model=model, input="12*7", max_output_tokens=64, temperature=0)
    assert response["output"][-1]["content"][0]["text"]


def test_an_engine_that_embeds_is_started_probed_and_asked(tmp_path: Path) -> None:
    async def main() -> None:
        [spec] = fake_specs("starter-math")
        spec = replace(spec, model_path=WEIGHTS / "starter-math", max_model_len=768, task=EngineTask.EMBED)
        async with launcher_in(tmp_path) as (launcher, client):
            process = await launcher.launch(spec, KEY, lambda: None)
            try:
                coordinator, fleet = coordinator_of(status_of(spec, KEY), client)
                await vectors(door_of("ours", coordinator, fleet))
            finally:
                await process.stop(DRAIN_S)

    run(main())


async def vectors(app: FastAPI) -> None:
    model = "starter-math"
    made = await asked(app, "/v1/embeddings", model=model, input=["12*7", "84-5", "12*7"])
    first, second, third = (one["embedding"] for one in made["data"])
    assert len(first) == len(second) > 8
    assert first == pytest.approx(third, abs=1e-3)
    assert first != pytest.approx(second, abs=1e-3)
    assert made["usage"]["prompt_tokens"] > 0
    scores = await asked(app, "/v1/score", model=model, text_1="12*7", text_2=["12*7", "84-5"])
    assert scores["data"][0]["score"] > scores["data"][1]["score"]
    ranked = await asked(app, "/v1/rerank", model=model, query="12*7", documents=["84-5", "12*7"])
    assert [result["index"] for result in ranked["results"]] == [1, 0]
