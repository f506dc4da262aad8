"""A supervisor in memory whose models take turns, with a dispatcher before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from appliance.dispatch.admission import AdmissionLimits
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.engine import Device, EngineSpec, EngineStatus
from appliance.domain.engine import EngineState as S
from appliance.domain.fleet import Fleet, FleetSnapshot
from appliance.domain.model import Role
from appliance.domain.request import CallContext, EngineCall
from appliance.supervisor.probe import ProbePolicy
from appliance.supervisor.supervisor import Supervisor
from appliance.supervisor.turns import TurnPolicy
from tests.fakes.fake_launcher import FakeLauncher, FakeProbeClient
from tests.fakes.scripted_client import Reply, ScriptedClient
from tests.supervisor.running import running

TURNS = TurnPolicy(shortest_s=5, longest_s=60)
AWAKE = {S.STARTING, S.WARMING, S.READY, S.DRAINING}


class WatchedFleet(Fleet):
    """Remembers each state that an engine went through, and checks that never two of a group are up.

    `promised` are the models of which each must be available at every moment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lives: dict[str, list[S]] = {}
        self.promised = ""

    def publish(self, engines: tuple[EngineStatus, ...]) -> FleetSnapshot:
        stopping = any(e.detail == "the appliance is stopping" or e.state is S.STOPPED for e in engines)
        leaving = {e.engine_id for e in engines if e.detail == "it is not wanted any more"}
        groups = [
            e.turn_group
            for e in engines
            if e.turn_group and e.state in AWAKE and not stopping and e.engine_id not in leaving
        ]
        assert len(groups) == len(set(groups)), f"two are up: {engines}"
        for engine in engines:
            life = self.lives.setdefault(engine.engine_id, [])
            if life[-1:] != [engine.state]:
                life.append(engine.state)
        snapshot = super().publish(engines)
        assert stopping or all(snapshot.available(model_id) for model_id in self.promised)
        return snapshot

    def states(self) -> dict[str, S]:
        return {e.engine_id: e.state for e in self.snapshot.engines}


def turners(*names: str, sleep_level: int, group: str = "g") -> tuple[EngineSpec, ...]:
    return tuple(
        EngineSpec(
            name, name, Path("/m"), Device.CUDA, 8100, 512, 4, 512, 1 << 20,
            gpu_ids=("0",), turn_group=group, sleep_level=sleep_level,
        )
        for name in names
    )  # fmt: skip


class House:
    """A supervisor in memory, and a dispatcher before it."""

    def __init__(self, *specs: EngineSpec, free_bytes: int | None = None) -> None:
        self.launcher, self.probes, self.fleet = FakeLauncher(), FakeProbeClient(), WatchedFleet()
        self.probes.switch_s = 1.0
        self.reply = Reply("x", delay_s=1.0)
        self.chat = ScriptedClient(lambda call, ctx: self._answer(call))
        self.dispatcher = Dispatcher(
            self.fleet, self.chat, asyncio.get_running_loop().time, AdmissionLimits(max_wait_s=30)
        )
        self.free_bytes = free_bytes
        self.supervisor = Supervisor(
            specs,
            self.launcher,
            self.probes,
            self.fleet,
            drain_timeout_s=7,
            probes=ProbePolicy(every_s=1e6),
            turns=TURNS,
            free_bytes=lambda _: self.free_bytes,
        )

    def _answer(self, call: EngineCall) -> Reply:
        [engine] = self.fleet.snapshot.ready(call.model_id)
        assert not self.probes.sleeps(engine)
        return self.reply

    async def ask(self, model_id: str, patience_s: float = 500) -> str:
        now_s = asyncio.get_running_loop().time()
        ctx = CallContext("r", "t", "s", Role.EXECUTOR, "acme", 0, now_s + patience_s, 100, "")
        call = EngineCall(model_id, ({"role": "user", "content": "hi"},), 8)
        return "".join([chunk.text async for chunk in self.dispatcher.stream(call, ctx)])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with running(self.supervisor):
            yield
