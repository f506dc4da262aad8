"""Who may see what was consumed, and that it adds up to what the engines counted."""

from __future__ import annotations

import asyncio
import re
from contextlib import closing
from pathlib import Path

import aiohttp
import openai
import pytest

from appliance.domain.tenant import Scope, Tenant
from appliance.gateway.usage import _visible
from appliance.ledger.database import Database
from appliance.ledger.trace_store import TraceStore
from appliance.ledger.usage_query import GroupBy, UsageLine, UsageQuery
from appliance.ledger.usage_store import UsageStore
from tests.coordinator.house import QUESTION
from tests.fakes.fake_vllm import FakeVllm, Fault, FaultKind
from tests.gateway.door import House, call
from tests.gateway.pool import MODELS, pool

LINE = UsageLine({"model": "text"}, 1, 2, 30, 10, 8, 0.5, None, 0.25, "EUR", 0)


def test_usage_is_told_by_groups_times_and_tenant() -> None:
    house = House()
    house.usage.lines = (LINE,)
    reply = call(house.app, "GET", "/v1/usage", query="by=model,day&since=5.5&until=9&tenant=acme")
    assert reply.json() == {
        "object": "list",
        "by": ["model", "day"],
        "data": [
            {
                "group": {"model": "text"}, "requests": 1, "calls": 2, "prompt_tokens": 30, "completion_tokens": 10,
                "cached_tokens": 8, "gpu_s": 0.5, "energy_j": None, "cost": 0.25, "currency": "EUR",
                "estimated_calls": 0,
            }
        ],
    }  # fmt: skip
    assert house.usage.queries == [UsageQuery((GroupBy.MODEL, GroupBy.DAY), 5.5, 9.0, "acme")]


@pytest.mark.parametrize(("query", "param"), [("by=body", "by"), ("since=5&until=5", "until"), ("since=x", "since")])
def test_a_wrong_question_names_its_field(query: str, param: str) -> None:
    reply = call(House().app, "GET", "/v1/usage", query=query)
    assert (reply.status, reply.error["param"]) == (400, param)


def test_an_administrator_sees_all_and_others_their_own() -> None:
    admin, tenant = Tenant("ops", scopes=frozenset({Scope.ADMIN})), Tenant("acme", scopes=frozenset({Scope.TRACES}))
    assert _visible(admin, None) is None
    assert _visible(admin, "acme") == "acme"
    assert _visible(tenant, None) == _visible(tenant, "acme") == "acme"
    with pytest.raises(Exception, match="only an administrator"):
        _visible(tenant, "other")


async def _counted(server: FakeVllm) -> tuple[int, int]:
    """What the engine says that it took in and gave out."""
    async with aiohttp.ClientSession() as session, session.get(f"{server.status().base_url}/metrics") as reply:
        text = await reply.text()
    found = dict(re.findall(r"^vllm:(prompt|generation)_tokens_total\{[^}]*\} ([0-9.]+)$", text, re.MULTILINE))
    return int(float(found["prompt"])), int(float(found["generation"]))


def test_the_sum_over_all_calls_is_what_the_engines_counted(tmp_path: Path) -> None:
    """Plans, pass-through, streams, tools, a retry on another attempt: whatever was asked."""

    async def main() -> None:
        faults = {"math": [Fault(FaultKind.HTTP, status=500, times=1)]}
        async with pool(faults=faults) as house:
            for model in ("auto", "generalist", "text", "auto"):
                await _ask(house.client, model)
            counted = {model: await _counted(house.servers[model]) for model in MODELS}
            saved = house.traces.saved
        with closing(Database(tmp_path / "ledger")) as database:
            usage = UsageStore(database)
            traces = TraceStore(database, usage)
            for trace in saved:
                await traces.save(trace)
            lines = await usage.report(UsageQuery((GroupBy.MODEL,)))
        booked = {line.group["model"]: (line.prompt_tokens, line.completion_tokens) for line in lines}
        assert sum(line.estimated_calls for line in lines) == 0
        assert len(booked) >= 5
        assert booked == {model: counts for model, counts in counted.items() if counts != (0, 0)}

    asyncio.run(main())


async def _ask(client: openai.AsyncOpenAI, model: str) -> None:
    await client.chat.completions.create(model=model, messages=[{"role": "user", "content": QUESTION}])
    stream = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    async for _ in stream:
        pass
