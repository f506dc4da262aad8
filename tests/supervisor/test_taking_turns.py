"""The supervisor with models that take turns: in memory on virtual time, and with fake vLLM processes over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.engine import EngineState as S
from appliance.domain.fleet import DemandEvent
from appliance.domain.model import Role
from appliance.domain.request import CallContext, EngineCall
from appliance.engines.client import HttpEngineClient
from appliance.engines.launcher import ProcessLauncher
from appliance.errors import EngineStartError
from appliance.supervisor.probe import ProbePolicy
from appliance.supervisor.reconcile import RestartPolicy
from appliance.supervisor.supervisor import Supervisor
from appliance.supervisor.turns import TurnPolicy
from tests.fakes.engine_commands import fake_commands, fake_specs
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run
from tests.supervisor.turning_house import TURNS, House, WatchedFleet, turners


@pytest.mark.parametrize("sleep_level", [1, 2])
def test_with_sleep_mode_all_start_one_after_the_other_and_the_first_stays_awake(sleep_level: int) -> None:
    async def main() -> None:
        house = House(*turners("a", "b", "c", sleep_level=sleep_level))
        async with house.running():
            assert house.fleet.states() == {"a": S.READY, "b": S.ASLEEP, "c": S.ASLEEP}
            assert [handle.spec.engine_id for handle in house.launcher.handles] == ["c", "b", "a"]
            assert house.probes.slept == [("c", sleep_level, 7), ("b", sleep_level, 7)]
            assert all(handle.alive for handle in house.launcher.handles)
        assert not any(handle.alive for handle in house.launcher.handles)
        assert set(house.fleet.states().values()) == {S.STOPPED}

    run(main())


def test_without_sleep_mode_only_the_first_starts() -> None:
    async def main() -> None:
        house = House(*turners("a", "b", sleep_level=0))
        async with house.running():
            assert house.fleet.states() == {"a": S.READY, "b": S.ASLEEP}
            assert [handle.spec.engine_id for handle in house.launcher.handles] == ["a"]
            assert "starts when its turn comes" in house.fleet.snapshot.engines[1].detail

    run(main())


@pytest.mark.parametrize("sleep_level", [0, 1, 2])
def test_requests_to_two_models_in_turn_are_all_answered(sleep_level: int) -> None:
    async def main() -> None:
        house = House(*turners("a", "b", sleep_level=sleep_level))
        async with house.running():
            house.fleet.promised = "ab"
            for model_id in ("b", "a", "b"):
                assert await house.ask(model_id) == "x"
            assert house.fleet.lives["b"][-5:] == [S.READY, S.DRAINING, S.ASLEEP, S.WARMING, S.READY]
            assert house.probes.woken == (
                [("b", sleep_level), ("a", sleep_level), ("b", sleep_level)] if sleep_level else []
            )
            processes = len(house.launcher.handles)
            assert processes == (2 if sleep_level else 4)
            assert sum(handle.alive for handle in house.launcher.handles) == (2 if sleep_level else 1)

    run(main())


@pytest.mark.parametrize("sleep_level", [0, 1])
def test_two_hot_models_share_the_time_and_no_call_is_lost(sleep_level: int) -> None:
    async def main() -> None:
        house = House(*turners("a", "b", sleep_level=sleep_level))
        house.reply = Reply("x", delay_s=3.0)
        answered = {"a": 0, "b": 0}

        async def caller(model_id: str) -> None:
            end_s = asyncio.get_running_loop().time() + 600
            while asyncio.get_running_loop().time() < end_s:
                assert await house.ask(model_id) == "x"
                answered[model_id] += 1

        async with house.running():
            house.fleet.promised = "ab"
            await asyncio.gather(*(caller(model_id) for model_id in "aabb"))
        switches = sum(life.count(S.WARMING) for life in house.fleet.lives.values())
        assert switches <= 4 + 600 / TURNS.longest_s
        assert min(answered.values()) > 100

    run(main())


def test_demand_that_nobody_waits_for_any_more_wakes_nobody() -> None:
    async def main() -> None:
        house = House(*turners("a", "b", sleep_level=1))
        async with house.running():
            house.fleet.demand.append(DemandEvent("b", 1, asyncio.get_running_loop().time()))
            await asyncio.sleep(60)
            impatient = asyncio.create_task(house.ask("b"))
            impatient.cancel()
            await asyncio.sleep(60)
            assert house.probes.woken == []
            assert house.fleet.states() == {"a": S.READY, "b": S.ASLEEP}

    run(main())


@pytest.mark.parametrize("sleep_level", [0, 1])
def test_an_engine_that_does_not_wake_fails_backs_off_and_comes_back(sleep_level: int) -> None:
    async def main() -> None:
        house = House(*turners("a", "b", sleep_level=sleep_level))
        async with house.running():
            house.probes.leaden.add("b")
            house.launcher.fail["b"] = ["no memory"] if sleep_level == 0 else []
            first = asyncio.create_task(house.ask("b"))
            await asyncio.gather(first, return_exceptions=True)
            assert S.FAILED in house.fleet.lives["b"]
            await asyncio.sleep(30)
            assert house.fleet.states() == {"a": S.ASLEEP, "b": S.READY}
            assert await house.ask("b") == "x"
            assert await house.ask("a") == "x"

    run(main())


def test_an_engine_that_will_not_sleep_is_ended_before_the_next_one_wakes() -> None:
    async def main() -> None:
        house = House(*turners("a", "b", sleep_level=1))
        async with house.running():
            house.probes.restless.add("a")
            before = house.launcher.latest("a")
            assert await house.ask("b") == "x"
            assert before.killed
            await asyncio.sleep(5)
            assert house.fleet.states() == {"a": S.ASLEEP, "b": S.READY}
            house.probes.restless.clear()
            assert await house.ask("a") == "x"
            assert house.launcher.latest("a") is not before

    run(main())


def test_an_engine_that_dies_in_its_sleep_starts_at_its_next_turn() -> None:
    async def main() -> None:
        house = House(*turners("a", "b", sleep_level=1))
        async with house.running():
            house.launcher.latest("b").exit(1)
            await asyncio.sleep(10)
            assert house.fleet.states() == {"a": S.READY, "b": S.ASLEEP}
            assert await house.ask("b") == "x"
            assert house.probes.woken == []

    run(main())


def test_an_awake_engine_that_dies_comes_back_and_keeps_its_turn() -> None:
    async def main() -> None:
        house = House(*turners("a", "b", sleep_level=1))
        async with house.running():
            house.launcher.latest("a").exit(0)
            await asyncio.sleep(10)
            assert house.fleet.states() == {"a": S.READY, "b": S.ASLEEP}
            assert house.fleet.lives["a"][-4:] == [S.FAILED, S.STARTING, S.WARMING, S.READY]

    run(main())


def test_a_failure_at_the_start_of_a_group_stops_everything() -> None:
    async def main() -> None:
        house = House(*turners("a", "b", sleep_level=1))
        house.launcher.fail["b"] = ["no memory"]
        with pytest.raises(EngineStartError, match="no memory"):
            await house.supervisor.start()
        assert house.launcher.handles == []
        assert set(house.fleet.states().values()) == {S.STOPPED}

    run(main())


def test_stopping_while_turns_change_leaves_nothing() -> None:
    async def main() -> None:
        for wait_s in (0.5, 1.5, 2.5):
            house = House(*turners("a", "b", sleep_level=1))
            async with house.running():
                await asyncio.sleep(TURNS.shortest_s)
                call = asyncio.create_task(house.ask("b"))
                await asyncio.sleep(wait_s)
                call.cancel()
            assert not any(handle.alive for handle in house.launcher.handles)
            assert set(house.fleet.states().values()) == {S.STOPPED}

    run(main())


def test_a_model_without_a_group_is_ready_beside_those_that_take_turns() -> None:
    async def main() -> None:
        [alone] = turners("z", sleep_level=0, group="")
        house = House(*turners("a", "b", sleep_level=1), alone)
        async with house.running():
            assert await house.ask("b") == "x"
            assert house.fleet.states()["z"] is S.READY
            assert house.fleet.lives["z"].count(S.READY) == 1

    run(main())


def test_a_second_replica_sleeps_while_the_first_serves_the_model() -> None:
    async def main() -> None:
        [a, b] = turners("a", "b", sleep_level=1)
        others = [replace(s, engine_id=f"{s.engine_id}2", turn_group="h", gpu_ids=("1",)) for s in (a, b)]
        house = House(a, b, *others)
        async with house.running():
            house.fleet.demand.extend(
                DemandEvent("b", 1, asyncio.get_running_loop().time() + second / 2) for second in range(20)
            )
            await asyncio.sleep(30)
            awake = [engine_id for engine_id, state in house.fleet.states().items() if state is S.READY]
            assert len([engine_id for engine_id in awake if engine_id.startswith("b")]) == 1

    run(main())


def test_a_newcomer_starts_once_and_the_group_goes_on() -> None:
    async def main() -> None:
        house = House(*turners("a", "b", sleep_level=1))
        async with house.running():
            assert await house.ask("b") == "x"
            handles = [house.launcher.latest(name) for name in "ab"]
            house.supervisor.want(turners("a", "b", "c", sleep_level=1))
            await asyncio.sleep(30)
            assert house.fleet.states() == {"a": S.ASLEEP, "b": S.ASLEEP, "c": S.READY}
            for model_id in "abc":
                assert await house.ask(model_id) == "x"
            assert [house.launcher.latest(name) for name in "ab"] == handles
            assert len(house.launcher.handles) == 3

    run(main())


def test_a_group_that_stays_keeps_its_turn_and_one_that_ends_wakes_its_last_engine() -> None:
    async def main() -> None:
        house = House(*turners("a", "b", "c", sleep_level=1))
        async with house.running():
            assert await house.ask("b") == "x"
            woken = len(house.probes.woken)
            house.supervisor.want(turners("a", "b", sleep_level=1))
            await asyncio.sleep(30)
            assert house.fleet.states() == {"a": S.ASLEEP, "b": S.READY}
            assert len(house.probes.woken) == woken
            house.supervisor.want(turners("a", sleep_level=1, group=""))
            await asyncio.sleep(30)
            assert house.fleet.states() == {"a": S.READY}
            assert len(house.launcher.handles) == 3

    run(main())


@pytest.mark.parametrize("sleep_level", [0, 1])
def test_a_new_group_among_running_engines(sleep_level: int) -> None:
    async def main() -> None:
        [z] = turners("z", sleep_level=0, group="")
        house = House(z)
        async with house.running():
            members = [
                replace(s, gpu_ids=("1",), sleep_level=sleep_level) for s in turners("a", "b", sleep_level=1, group="h")
            ]
            house.supervisor.want((z, *members))
            await asyncio.sleep(60)
            assert house.fleet.states() == {"z": S.READY, "a": S.READY, "b": S.ASLEEP}
            for model_id in "baz":
                assert await house.ask(model_id) == "x"

    run(main())


def test_a_restart_waits_for_the_memory_of_the_dead_engine() -> None:
    async def main() -> None:
        [spec] = turners("a", sleep_level=0, group="")
        house = House(spec, free_bytes=80 << 30)
        launch = house.launcher.launch

        async def launch_and_take(*args: object) -> object:
            handle = await launch(*args)  # type: ignore[arg-type]  # passed on as they came
            house.free_bytes = 40 << 30
            return handle

        house.launcher.launch = launch_and_take  # type: ignore[method-assign, assignment]  # watched in place of the method
        async with house.running():
            died_s = asyncio.get_running_loop().time()
            house.launcher.latest("a").exit(1)
            await asyncio.sleep(10)
            assert house.fleet.states() == {"a": S.FAILED}
            house.free_bytes = 80 << 30
            await asyncio.sleep(1)
            assert house.fleet.states() == {"a": S.READY}
            assert house.launcher.latest("a").alive
            house.launcher.latest("a").exit(1)
            await asyncio.sleep(29)
            assert house.fleet.states() == {"a": S.FAILED}
            await asyncio.sleep(2)
            assert house.fleet.states() == {"a": S.READY}
            assert asyncio.get_running_loop().time() - died_s < 60

    run(main())


@pytest.mark.parametrize("sleep_level", [0, 1, 2])
def test_over_http_two_models_take_turns(tmp_path: Path, sleep_level: int) -> None:
    """Fake vLLM processes: calls to both models come at once and in turn, all are answered, never two are awake."""

    async def main() -> None:
        client, fleet = HttpEngineClient(), WatchedFleet()
        launcher = ProcessLauncher(fake_commands(), client, log_dir=tmp_path, state_dir=tmp_path, start_timeout_s=30)
        specs = tuple(
            replace(spec, turn_group="g", sleep_level=sleep_level)
            for spec in fake_specs("a", "b", options=("--latency-s", "0.05"))
        )
        supervisor = Supervisor(
            specs,
            launcher,
            client,
            fleet,
            drain_timeout_s=5,
            restarts=RestartPolicy(first_backoff_s=0.01),
            probes=ProbePolicy(every_s=0.2),
            turns=TurnPolicy(shortest_s=0.2, longest_s=1),
        )
        dispatcher = Dispatcher(fleet, client)

        async def ask(model_id: str, number: int) -> str:
            deadline_s = asyncio.get_running_loop().time() + 60
            ctx = CallContext(f"r{number}", "t", "s", Role.EXECUTOR, "acme", 0, deadline_s, 100, "")
            call = EngineCall(model_id, ({"role": "user", "content": f"{model_id} says {number}"},), 8)
            return "".join([chunk.text async for chunk in dispatcher.stream(call, ctx)])

        await supervisor.start()
        loop = asyncio.create_task(supervisor.run())
        for number, model_id in enumerate("bab"):
            assert await ask(model_id, number) == f"{model_id} says {number}"
        many = [(model_id, number) for number in range(10, 16) for model_id in "ab"]
        answers = await asyncio.gather(*(ask(model_id, number) for model_id, number in many))
        assert answers == [f"{model_id} says {number}" for model_id, number in many]
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await supervisor.stop()
        await client.close()
        assert S.FAILED not in {state for life in fleet.lives.values() for state in life}
        assert all(life.count(S.ASLEEP) >= 1 for life in fleet.lives.values())

    asyncio.run(asyncio.wait_for(main(), 120))
