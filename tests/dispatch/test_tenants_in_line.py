"""Tenants that flood and tenants that don't, through the dispatcher on virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter

from appliance.dispatch.admission import AdmissionLimits
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.fleet import Fleet
from appliance.domain.model import Role
from appliance.domain.policy import DataPolicy, TenantPolicy
from appliance.domain.request import CallContext, EngineCall
from appliance.errors import Overloaded
from tests.coordinator.house import engine
from tests.fakes.scripted_client import Reply, ScriptedClient
from tests.fakes.virtual_time import run

POLICY = DataPolicy(policies={"light": TenantPolicy(weight=1.0), "heavy": TenantPolicy(weight=3.0)})


def context(tenant: str, number: int, policy: str) -> CallContext:
    deadline_s = asyncio.get_running_loop().time() + 1_000
    return CallContext(f"{tenant}{number}", "t", "t", Role.GENERALIST, tenant, 0, deadline_s, 100, "", policy=policy)


async def flooded(limits: AdmissionLimits, *many: tuple[str, int, str]) -> tuple[list[str], Counter[str]]:
    """Who was served, in order, and who was refused, of calls that come all at once."""
    fleet = Fleet()
    fleet.publish((engine("m", max_num_seqs=2),))
    client = ScriptedClient(lambda _call, _ctx: Reply(pieces=("x",), delay_s=1.0))
    dispatcher = Dispatcher(fleet, client, asyncio.get_running_loop().time, limits, POLICY)
    served: list[str] = []
    refused: Counter[str] = Counter()

    async def one(tenant: str, number: int, policy: str) -> None:
        call = EngineCall("m", ({"role": "user", "content": "x"},), 10)
        try:
            async for _ in dispatcher.stream(call, context(tenant, number, policy)):
                pass
            served.append(tenant)
        except Overloaded:
            refused[tenant] += 1

    await asyncio.gather(*(one(tenant, n, policy) for tenant, count, policy in many for n in range(count)))
    assert dispatcher.idle
    return served, refused


def test_who_comes_after_a_flood_does_not_wait_for_all_of_it() -> None:
    served, refused = run(flooded(AdmissionLimits(1_000, 500), ("flood", 100, "default"), ("steady", 10, "default")))
    assert not refused
    assert Counter(served[:30])["steady"] == 10


def test_weights_count() -> None:
    served, _ = run(flooded(AdmissionLimits(1_000, 500), ("a", 300, "light"), ("b", 300, "heavy")))
    assert 0.7 <= Counter(served[40:300])["b"] / 260 <= 0.8  # the first ones go by a guess of what a call takes


def test_a_full_line_still_takes_in_who_has_less_than_its_share() -> None:
    served, refused = run(flooded(AdmissionLimits(20, 500), ("flood", 100, "default"), ("steady", 8, "default")))
    assert refused["flood"] == 78  # 2 run, 20 wait
    assert refused["steady"] == 0
    assert Counter(served) == {"flood": 22, "steady": 8}


def test_those_who_are_refused_together_are_taken_in_one_after_the_other() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        fleet = Fleet()
        fleet.publish((engine("m", max_num_seqs=2),))
        client = ScriptedClient(lambda _call, _ctx: Reply(pieces=("x",), delay_s=1.0))
        dispatcher = Dispatcher(fleet, client, loop.time, AdmissionLimits(20, 500), POLICY)
        tries: list[int] = []

        async def one(number: int) -> None:
            call = EngineCall("m", ({"role": "user", "content": "x"},), 10)
            for attempt in range(1, 10):
                try:
                    async for _ in dispatcher.stream(call, context("flood", number * 10 + attempt, "default")):
                        pass
                    tries.append(attempt)
                    return
                except Overloaded as refusal:
                    await asyncio.sleep(refusal.retry_after_s)

        await asyncio.gather(*(one(number) for number in range(100)))
        assert len(tries) == 100
        assert max(tries) == 2

    run(main())
