"""The supervisor with in-memory processes, and with fake vLLM processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import aiohttp
import pytest

from appliance.domain.engine import Device, EngineSpec, EngineState
from appliance.domain.fleet import Fleet
from appliance.engines.client import HttpEngineClient
from appliance.engines.launcher import ProcessLauncher
from appliance.engines.processes import group_members
from appliance.errors import EngineStartError
from appliance.supervisor.probe import ProbePolicy
from appliance.supervisor.reconcile import RestartPolicy
from appliance.supervisor.supervisor import Supervisor
from tests.fakes.engine_commands import fake_commands, fake_specs
from tests.fakes.fake_launcher import FakeLauncher, FakeProbeClient
from tests.fakes.polling import until
from tests.supervisor.running import running

QUICK = RestartPolicy(first_backoff_s=0.01)
PROBES = ProbePolicy(every_s=0.01, silent_s=0.02)
NO_PROBES = ProbePolicy(every_s=1000)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def specs(*names: str) -> tuple[EngineSpec, ...]:
    return tuple(EngineSpec(name, name, PurePath("/m"), Device.CPU, 8100, 512, 4, 512, 1 << 20) for name in names)


class House:
    """A supervisor with everything around it."""

    def __init__(self, *names: str, restarts: RestartPolicy = QUICK, probes: ProbePolicy = NO_PROBES) -> None:
        self.launcher = FakeLauncher()
        self.client = FakeProbeClient()
        self.fleet = Fleet()
        self.progress: list[tuple[str, EngineState]] = []
        self.supervisor = Supervisor(
            specs(*names),
            self.launcher,
            self.client,
            self.fleet,
            drain_timeout_s=7,
            restarts=restarts,
            probes=probes,
        )

    def states(self) -> dict[str, EngineState]:
        return {e.engine_id: e.state for e in self.fleet.snapshot.engines}

    async def start(self) -> None:
        await self.supervisor.start(self._note)

    def _note(self, engine_id: str, state: EngineState, _seconds: float, _detail: str) -> None:
        self.progress.append((engine_id, state))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with running(self.supervisor, self._note):
            yield


def test_start_shows_progress_publishes_and_gives_each_engine_its_key() -> None:
    async def main() -> None:
        house = House("a", "b")
        await house.start()
        assert house.states() == {"a": EngineState.READY, "b": EngineState.READY}
        assert [s for e, s in house.progress if e == "a"] == [
            EngineState.STARTING,
            EngineState.WARMING,
            EngineState.READY,
        ]
        assert [e.api_key for e in house.fleet.snapshot.engines] == house.launcher.keys
        assert len(set(house.launcher.keys)) == 2
        assert house.fleet.snapshot.engines[0].pid == house.launcher.latest("a").pid
        await house.supervisor.stop()

    run(main())


def test_stop_ends_routing_before_it_drains() -> None:
    async def main() -> None:
        house = House("a")
        await house.start()
        handle = house.launcher.latest("a")
        seen: list[EngineState] = []
        stop = handle.stop

        async def stop_and_look(drain_timeout_s: float) -> None:
            seen.append(house.states()["a"])
            await stop(drain_timeout_s)

        handle.stop = stop_and_look  # type: ignore[method-assign]  # watched in place of the method
        await house.supervisor.stop()
        assert seen == [EngineState.DRAINING]
        assert handle.stopped == [7]
        assert house.states() == {"a": EngineState.STOPPED}

    run(main())


def test_a_second_interrupt_kills_what_still_drains() -> None:
    async def main() -> None:
        house = House("a")
        await house.start()
        handle = house.launcher.latest("a")
        handle.hang_on_stop = True
        stop = asyncio.create_task(house.supervisor.stop())
        await until(lambda: handle.stopped)
        stop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stop
        assert handle.killed

    run(main())


def test_a_failure_at_the_first_start_stops_everything() -> None:
    async def main() -> None:
        house = House("a", "b", restarts=RestartPolicy(max_parallel_starts=1))
        house.launcher.fail["b"] = ["no memory"]
        with pytest.raises(EngineStartError, match="no memory"):
            await house.start()
        assert not house.launcher.latest("a").alive
        assert house.states() == {"a": EngineState.STOPPED, "b": EngineState.STOPPED}

    run(main())


def test_parallel_starts_are_bounded() -> None:
    async def main() -> None:
        house = House(*"abcdef", restarts=RestartPolicy(max_parallel_starts=2))
        await house.start()
        assert house.launcher.most_starting == 2
        await house.supervisor.stop()

    run(main())


def test_a_cancelled_start_leaves_nothing() -> None:
    async def main() -> None:
        house = House("a", "b")
        house.launcher.gate = asyncio.Event()
        start = asyncio.create_task(house.start())
        await until(lambda: house.launcher.starting)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert house.launcher.starting == []
        assert all(not h.alive for h in house.launcher.handles)
        assert set(house.states().values()) == {EngineState.STOPPED}

    run(main())


def test_an_engine_that_came_up_unseen_is_stopped_too() -> None:
    async def main() -> None:
        house = House("a")
        house.launcher.gate = asyncio.Event()
        start = asyncio.create_task(house.start())
        await until(lambda: house.launcher.starting)
        house.launcher.gate.set()
        await until(lambda: house.launcher.handles)
        start.cancel()
        with suppress(asyncio.CancelledError):
            await start
            await house.supervisor.stop()
        assert not house.launcher.latest("a").alive

    run(main())


@pytest.mark.parametrize("code", [0, 1, -9])
def test_an_engine_that_ends_by_itself_comes_back_and_the_others_stay(code: int) -> None:
    async def main() -> None:
        house = House("a", "b")
        async with house.running():
            before, other = house.launcher.latest("a"), house.launcher.latest("b")
            before.exit(code)
            await until(lambda: house.launcher.latest("a") is not before)
            await until(lambda: house.states()["a"] is EngineState.READY)
            assert other.alive
            assert house.launcher.keys[-1] not in house.launcher.keys[:-1]

    run(main())


def test_failing_restarts_back_off_and_never_give_up() -> None:
    async def main() -> None:
        house = House("a")
        async with house.running():
            house.launcher.fail["a"] = ["x", "y", "z"]
            house.launcher.latest("a").exit(1)
            await until(lambda: len(house.launcher.handles) == 2)
            await until(lambda: house.states()["a"] is EngineState.READY)
            starts = [s for e, s in house.progress if s is EngineState.STARTING]
            assert len(starts) == 5

    run(main())


def test_a_wedged_engine_is_killed_and_replaced() -> None:
    async def main() -> None:
        house = House("a", "b", probes=PROBES)
        async with house.running():
            house.client.wedged.add("a")
            before = house.launcher.latest("a")
            await until(lambda: before.killed)
            house.client.wedged.clear()
            await until(lambda: house.launcher.latest("a") is not before)
            await until(lambda: house.states()["a"] is EngineState.READY)
            assert house.launcher.latest("b").alive

    run(main())


def test_a_busy_engine_is_not_taken_for_a_wedged_one() -> None:
    async def main() -> None:
        house = House("a", probes=PROBES)
        async with house.running():
            house.client.busy.add("a")
            house.client.wedged.add("a")
            done = house.client.probes
            await until(lambda: house.client.probes > done + 10)
            assert house.launcher.latest("a").alive

    run(main())


def test_other_engines_can_be_wanted_while_it_runs() -> None:
    async def main() -> None:
        house = House("a", "b")
        async with house.running():
            a, b = house.launcher.latest("a"), house.launcher.latest("b")
            changed, new = replace(specs("b")[0], max_num_seqs=9), specs("c")[0]
            house.supervisor.want((changed, new))
            await until(lambda: house.states() == {"b": EngineState.READY, "c": EngineState.READY})
            await until(lambda: house.launcher.latest("b") is not b)
            assert a.stopped == b.stopped == [7]
            assert house.launcher.latest("b").spec.max_num_seqs == 9
            house.launcher.latest("c").exit(0)
            await until(lambda: house.states().get("c") is not EngineState.READY)
            await until(lambda: house.states()["c"] is EngineState.READY)
        assert not any(handle.alive for handle in house.launcher.handles)

    run(main())


def test_an_engine_that_is_wanted_as_it_runs_is_not_touched() -> None:
    async def main() -> None:
        house = House("a", "b")
        async with house.running():
            a = house.launcher.latest("a")
            version = house.fleet.snapshot.version
            house.supervisor.want((replace(specs("a")[0], turn_group=""),))
            await until(lambda: set(house.states()) == {"a"})
            assert house.fleet.snapshot.version > version
            assert a.alive
            assert len(house.launcher.handles) == 2

    run(main())


@pytest.mark.parametrize("came_up", [False, True])
def test_a_start_that_is_not_wanted_any_more_leaves_nothing(came_up: bool) -> None:
    """Also where the process came up just before the supervisor heard of what is wanted."""

    async def main() -> None:
        house = House("a")
        async with house.running():
            house.launcher.gate = asyncio.Event()
            house.supervisor.want(specs("a", "b"))
            await until(lambda: house.launcher.starting == ["b"])
            if came_up:
                house.launcher.gate.set()
                await until(lambda: len(house.launcher.handles) == 2)
            house.supervisor.want(specs("a"))
            await until(lambda: set(house.states()) == {"a"})
            assert house.launcher.starting == []
            assert [handle.spec.engine_id for handle in house.launcher.handles if handle.alive] == ["a"]

    run(main())


def test_on_a_gpu_the_new_engine_starts_when_the_old_one_is_gone() -> None:
    async def main() -> None:
        house = House("a")
        [a, b] = (replace(s, device=Device.CUDA, gpu_ids=("0",)) for s in specs("a", "b"))
        async with house.running():
            house.supervisor.want((a,))
            await until(lambda: len(house.launcher.handles) == 2 and house.states()["a"] is EngineState.READY)
            old = house.launcher.latest("a")
            old.hang_on_stop = True
            house.supervisor.want((b,))
            await until(lambda: old.stopped)
            await asyncio.sleep(0.05)
            assert house.launcher.starting == []
            assert house.states() == {"a": EngineState.DRAINING, "b": EngineState.ABSENT}
            old.exit(0)
            await until(lambda: house.states() == {"b": EngineState.READY})

    run(main())


async def post(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(url, json={"code": 0}):
        pass


def test_with_processes(tmp_path: Path) -> None:
    """One engine is killed, one wedges, one leaves with code 0: all come back; at the end nothing is left."""

    async def main() -> None:
        client, fleet = HttpEngineClient(), Fleet()
        launcher = ProcessLauncher(
            fake_commands("--child"), client, log_dir=tmp_path, state_dir=tmp_path, start_timeout_s=30
        )
        wanted = fake_specs("a", "b", "c")
        supervisor = Supervisor(
            wanted, launcher, client, fleet, drain_timeout_s=1, restarts=QUICK, probes=ProbePolicy(0.2, 0.6)
        )
        await supervisor.start()
        loop = asyncio.create_task(supervisor.run())
        first = {e.engine_id: e for e in fleet.snapshot.engines}
        os.killpg(first["a-0"].pid or 0, signal.SIGKILL)
        await post(f"{first['b-0'].base_url}/fake/wedge")
        await post(f"{first['c-0'].base_url}/fake/exit")

        def all_new() -> bool:
            now = {e.engine_id: e for e in fleet.snapshot.engines if e.state is EngineState.READY}
            return len(now) == 3 and all(now[name].pid != first[name].pid for name in first)

        await until(all_new, 30)
        groups = [e.pid or 0 for e in (*fleet.snapshot.engines, *first.values())]
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await supervisor.stop()
        await client.close()
        assert [group_members(pgid) for pgid in groups] == [()] * 6

    run(main())
