"""An appliance whose plan is made anew while it runs: GPUs by a fake driver, engines in memory or as processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.bootstrap.appliance import Appliance
from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.engine_ports import EnginePorts
from appliance.bootstrap.lineup import decide
from appliance.bootstrap.measurements import Measurements
from appliance.bootstrap.replanning import Replanning
from appliance.bootstrap.running_engines import RunningEngines, subjects_of
from appliance.bootstrap.running_plan import load_plan
from appliance.bootstrap.wiring import build
from appliance.config import Settings
from appliance.config.placement import ReplanSettings
from appliance.domain.engine import EngineSpec, EngineState
from appliance.domain.fleet import Fleet, PlanNote
from appliance.domain.model import Role
from appliance.domain.placement import PlacementPlan
from appliance.domain.request import Usage
from appliance.engines.launcher import status_of
from appliance.engines.load import LoadReader
from appliance.engines.sampler import Sampler
from appliance.placement.engine_shape import DEFAULT_VLLM_VERSION
from tests.bootstrap.machine import GIB, L4, SECOND, gpu_pool, settings_of
from tests.cli.pool import MODELS, Pool, free_port, make_pool
from tests.conftest import Scenario
from tests.fakes.fake_launcher import FakeLauncher
from tests.fakes.polling import until
from tests.fakes.traces import repaired_trace

QUICK = {"every_s": 0.05, "retry_s": 1, "settle_s": 1000}
ONE_EACH = {model: {"replicas_max": 1} for model in MODELS}
START_LOG = f"""\
(EngineCore pid=9) INFO 11-24 00:27:43 [core.py:133] Initializing a V1 LLM engine (v{DEFAULT_VLLM_VERSION}) with …
(EngineCore pid=9) INFO 11-24 00:27:44 [gpu_model_runner.py:5] Model loading took 0.01 GiB memory and 0.5 seconds
(EngineCore pid=9) INFO 11-24 00:27:45 [kv_cache_utils.py:2327] GPU KV cache size: 21,760 tokens, Maximum …
"""


PATIENCE_S = 60


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 4 * PATIENCE_S))


def gpu_settings(pool: Pool, **placement: Any) -> Settings:
    replan = QUICK | placement.pop("replan", {})
    pool.settings["engines"] |= {"device": "auto", "sample_every_s": 0.1, "probe_every_s": 100}
    return settings_of(pool, placement={"models": ONE_EACH, "replan": replan, **placement})


@asynccontextmanager
async def running(settings: Settings, launcher: FakeLauncher | None = None) -> AsyncIterator[Appliance]:
    appliance = build(settings, make_launcher=None if launcher is None else lambda client: launcher)
    try:
        await appliance.start()
        yield appliance
    finally:
        await appliance.stop()


def note(appliance: Appliance) -> PlanNote:
    assert appliance.fleet.plan is not None
    return appliance.fleet.plan


def plan_of(settings: Settings) -> PlacementPlan:
    return load_plan(settings.data_dir / "plan.json")


def settled(appliance: Appliance, settings: Settings) -> bool:
    """What runs is what the plan says, and all of it is ready."""
    wanted = {engine.engine_id for engine in plan_of(settings).engines}
    engines = appliance.fleet.snapshot.engines
    return {e.engine_id for e in engines} == wanted and {e.state for e in engines} == {EngineState.READY}


def tell(tmp_path: Path, *facts: str) -> None:
    """Something happens to the machine."""
    with (tmp_path / "scenario.txt").open("a") as file:
        file.writelines(f"{fact}\n" for fact in facts)


def test_engines_of_a_lost_gpu_come_back_on_another_one_and_the_others_never_stop(
    tmp_path: Path, machine: Scenario
) -> None:
    machine("l4-a100")
    settings, launcher = gpu_settings(make_pool(tmp_path)), FakeLauncher()

    async def main() -> None:
        async with running(settings, launcher) as appliance:
            before = plan_of(settings)
            lost = {e.engine_id: e.model_id for e in before.engines if e.gpu_ids == ("GPU-l4",)}
            others = {e.engine_id: launcher.latest(e.engine_id) for e in before.engines if e.engine_id not in lost}
            assert lost
            assert others
            assert note(appliance).why == ("the appliance started",)
            tell(tmp_path, "fail 0 * 15")
            for engine_id in lost:
                launcher.latest(engine_id).exit(0)
            await until(lambda: note(appliance).why != ("the appliance started",), PATIENCE_S)
            await until(lambda: settled(appliance, settings), PATIENCE_S)
            after = plan_of(settings)
            assert {e.model_id for e in after.engines} == set(MODELS)
            assert {e.gpu_ids for e in after.engines} == {("GPU-a100",)}
            assert {e.engine_id for e in after.engines} >= set(others)
            for engine_id, handle in others.items():
                assert handle.alive
                assert launcher.latest(engine_id) is handle
            assert note(appliance).why[0] == "GPU GPU-l4: it is not there any more"
            assert note(appliance).trouble == ()
            assert len({handle.spec.port for handle in launcher.handles if handle.alive}) == len(MODELS)
        assert not any(handle.alive for handle in launcher.handles)

    run(main())


def test_where_nothing_fits_what_runs_goes_on_and_a_gpu_that_comes_back_is_used(
    tmp_path: Path, machine: Scenario
) -> None:
    machine("l4-a100")
    settings, launcher = gpu_settings(make_pool(tmp_path)), FakeLauncher()

    async def main() -> None:
        async with running(settings, launcher) as appliance:
            before = plan_of(settings)
            stay = {e.engine_id for e in before.engines if e.gpu_ids == ("GPU-a100",)}
            lost_models = {e.model_id for e in before.engines if e.engine_id not in stay}
            full = (tmp_path / "scenario.txt").read_text()
            for engine in before.engines:
                if engine.engine_id not in stay:
                    launcher.latest(engine.engine_id).exit(0)
            # Others fill what is left of the other GPU, so that nothing more fits there.
            (tmp_path / "scenario.txt").write_text(
                full.replace("GPU-a100 81920 0", f"GPU-a100 81920 {81920 - 300}") + "fail 0 * 15\n"
            )
            await until(lambda: {e.engine_id for e in appliance.fleet.snapshot.engines} == stay, PATIENCE_S)
            assert all(launcher.latest(engine_id).alive for engine_id in stay)
            assert {line.split()[0] for line in note(appliance).trouble} == lost_models
            (tmp_path / "scenario.txt").write_text(full)
            await until(lambda: {e.model_id for e in plan_of(settings).engines} == set(MODELS), PATIENCE_S)
            await until(lambda: settled(appliance, settings), PATIENCE_S)
            assert all(launcher.latest(engine_id).alive for engine_id in stay)
            assert note(appliance).trouble == ()

    run(main())


def test_an_engine_that_takes_more_than_planned_moves_and_its_neighbours_never_stop(
    tmp_path: Path, machine: Scenario
) -> None:
    machine("l4-a100")
    pool = make_pool(tmp_path)
    for model in MODELS:
        (tmp_path / f"log-{model}").write_text(START_LOG)
    settings = gpu_settings(pool)

    async def main() -> None:
        async with running(settings) as appliance:
            before = plan_of(settings)
            first = {e.engine_id: e.pid for e in appliance.fleet.snapshot.engines}
            heavy = next(e for e in before.engines if e.gpu_ids == ("GPU-l4",))
            tell(tmp_path, f"process 0 {first[heavy.engine_id]} 22900")
            await until(lambda: note(appliance).why != ("the appliance started",), PATIENCE_S)
            await until(lambda: settled(appliance, settings), PATIENCE_S)
            assert f"{heavy.engine_id} takes 22.4 GiB, planned" in note(appliance).why[0]
            after = plan_of(settings)
            [moved] = [e for e in after.engines if e.model_id == heavy.model_id]
            assert moved.gpu_ids == ("GPU-a100",)
            now = {e.engine_id: e.pid for e in appliance.fleet.snapshot.engines}
            assert now.keys() - first.keys() == {moved.engine_id}
            assert all(now[e.engine_id] == first[e.engine_id] for e in before.engines if e is not heavy)

    run(main())


def test_off_means_that_the_first_plan_is_kept(tmp_path: Path, machine: Scenario) -> None:
    machine("l4-a100")
    settings, launcher = gpu_settings(make_pool(tmp_path), replan={"enabled": False}), FakeLauncher()

    async def main() -> None:
        async with running(settings, launcher) as appliance:
            before = plan_of(settings)
            tell(tmp_path, "fail 0 * 15")
            await asyncio.sleep(0.5)
            assert plan_of(settings) == before
            assert note(appliance).trouble == ()

    run(main())


def asked(tally: DemandTally, planner: int, math: int) -> None:
    """A window of one request with so many calls of 500 + 200 tokens."""
    plain = repaired_trace()
    roles = [("plan", Role.PLANNER)] * planner + [("s1", Role.EXECUTOR)] * math
    one = replace(plain.calls[0], usage=Usage(500, 200))
    tally.record(replace(plain, calls=tuple(replace(one, task_id=task, role=role) for task, role in roles)))


@dataclass
class Watched:
    """A watch over a plan for two L4 of which each holds three engines; engines are only wanted, not started."""

    replanning: Replanning
    tally: DemandTally
    wanted: list[tuple[EngineSpec, ...]]

    async def windows(self, *windows: tuple[int, int]) -> None:
        """Requests with so many calls of planner and math, and a look after each window."""
        for planner, math in windows:
            asked(self.tally, planner, math)
            await self.replanning.look()


@contextmanager
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    gpus = (L4, SECOND)
    pool = gpu_pool(tmp_path, monkeypatch, gpus)
    monkeypatch.setattr("appliance.bootstrap.sighting.scan_gpus", lambda: gpus)
    calls = {role: {"prompt_tokens": 500, "completion_tokens": 200} for role in ("planner", "executors.math")}
    settings = settings_of(pool, placement={"calls": calls, "reserve_bytes": 15 * GIB, "turns": False})
    settings.data_dir.mkdir()
    lineup, fleet, wanted = decide(settings), Fleet(), []
    ports = EnginePorts(free_port())
    specs = lineup.specs(ports.of(lineup.engine_ids))
    measurements = Measurements(lineup, specs)
    sampler = Sampler(fleet, subjects_of(lineup, specs, tmp_path), LoadReader().read, measurements, 5)

    def want(specs: tuple[EngineSpec, ...]) -> None:
        wanted.append(specs)
        fleet.publish(tuple(status_of(spec, "", EngineState.READY) for spec in specs))

    engines = RunningEngines(
        lineup,
        ports=ports,
        want=want,
        sampler=sampler,
        measurements=measurements,
        fleet=fleet,
        log_dir=tmp_path,
    )
    tally = DemandTally("auto")
    policy = ReplanSettings(window_s=1e-9, window_requests=1, windows=3, settle_s=0)
    with closing(ports):
        yield Watched(Replanning(engines, fleet, tally, policy), tally, wanted)


def test_a_demand_that_moved_for_good_moves_the_plan_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with watched(tmp_path, monkeypatch) as house:
            await house.windows(*[(1, 10)] * 12)
            [specs] = house.wanted
            count = Counter(spec.model_id for spec in specs)
            assert count["fake-math"] > count["fake-planner"]

    run(main())


def test_a_demand_that_swings_does_not_move_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with watched(tmp_path, monkeypatch) as house:
            await house.windows(*[(1, 10), (1, 1)] * 12)
            await house.windows(*[(1, 10), (10, 1)] * 12)
            assert house.wanted == []

    run(main())
