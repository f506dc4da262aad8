"""Two real engines that take turns on the CPU, where vLLM has no sleep: stop and start stand in."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.engine import EngineState as S
from appliance.domain.engine import EngineStatus
from appliance.domain.fleet import Fleet, FleetSnapshot
from appliance.domain.request import EngineCall
from appliance.engines.processes import group_members
from appliance.supervisor.supervisor import Supervisor
from appliance.supervisor.turns import TurnPolicy
from tests.e2e.test_engines import DRAIN_S, START_TIMEOUT_S, WEIGHTS, context, launcher_in, run
from tests.fakes.engine_commands import fake_specs

pytestmark = pytest.mark.e2e


class WatchedFleet(Fleet):
    """Remembers the states of each engine and its processes, and checks that at most one engine has any."""

    def __init__(self) -> None:
        super().__init__()
        self.lives: dict[str, list[S]] = {}
        self.groups: set[int] = set()

    def publish(self, engines: tuple[EngineStatus, ...]) -> FleetSnapshot:
        running = [engine.pid for engine in engines if engine.pid]
        self.groups.update(running)
        assert len(running) <= 1, engines
        for engine in engines:
            life = self.lives.setdefault(engine.engine_id, [])
            if life[-1:] != [engine.state]:
                life.append(engine.state)
        return super().publish(engines)


def test_two_models_take_turns_by_stop_and_start_and_every_request_is_answered(tmp_path: Path) -> None:
    async def main() -> None:
        async with launcher_in(tmp_path) as (launcher, client):
            fleet, clock = WatchedFleet(), asyncio.get_running_loop().time
            specs = tuple(
                replace(spec, model_path=WEIGHTS / spec.model_id, turn_group="turn-1")
                for spec in fake_specs("starter-math", "starter-text")
            )
            supervisor = Supervisor(
                specs, launcher, client, fleet, drain_timeout_s=DRAIN_S, turns=TurnPolicy(shortest_s=1, longest_s=5)
            )
            dispatcher = Dispatcher(fleet, client, clock)

            async def ask(model_id: str, prompt: str) -> str:
                wanted = EngineCall(model_id, ({"role": "user", "content": prompt},), 64, {"temperature": 0})
                ctx = context(deadline_s=clock() + START_TIMEOUT_S)
                return "".join([chunk.text async for chunk in dispatcher.stream(wanted, ctx)])

            await supervisor.start()
            watching = asyncio.create_task(supervisor.run())
            try:
                answers = await asyncio.gather(
                    *(ask("starter-math", "347*8") for _ in range(3)),
                    *(ask("starter-text", "reverse QEXAR") for _ in range(3)),
                )
                assert all(answer.endswith("2776") for answer in answers[:3])
                assert all(answer.endswith("RAXEQ") for answer in answers[3:])
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
                await supervisor.stop()
            up = [S.STARTING, S.WARMING, S.READY, S.DRAINING]
            assert fleet.lives["starter-math-0"] == [*up, S.ASLEEP, S.DRAINING, S.STOPPED]
            assert fleet.lives["starter-text-0"] == [S.ASLEEP, *up[1:], S.STOPPED]
            assert len(fleet.groups) == 2
            assert not any(group_members(group) for group in fleet.groups)

    run(main())
