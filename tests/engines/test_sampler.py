"""The sampler, driven look by look on a clock of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from appliance.domain.engine import Device, EngineSpec, EngineState, EngineStatus
from appliance.domain.fleet import NO_FIGURES, EngineFigures, Fleet
from appliance.engines.load import EngineLoad
from appliance.engines.sampler import Sampler, Subject
from appliance.engines.start_log import StartFigures
from tests.engines.test_start_log import CPU
from tests.fakes import virtual_time
from tests.fakes.polling import until
from tests.gateway.door import engine

READY = replace(engine("math"), engine_id="math-0", pid=50)
SPEC = EngineSpec("math-0", "math", PurePath("/m"), Device.CPU, 8100, 512, 4, 512, 1 << 20)


@dataclass
class World:
    """What the sampler sees; `judged` is what it told the judge."""

    directory: Path
    load: EngineLoad = field(default_factory=lambda: EngineLoad(1, 2, 100))
    bytes: int | None = 900
    remark: str = ""
    asked: int = 0
    judged: list[tuple[str, StartFigures, int | None]] = field(default_factory=list)
    fleet: Fleet = field(default_factory=Fleet)

    def sampler(self) -> Sampler:
        log = self.directory / "math-0.log"
        log.write_text(CPU)
        subjects = {"math-0": Subject(SPEC, 1000, log)}
        return Sampler(self.fleet, subjects, self.read_load, self.judge, 5, lambda spec, pgid: self.bytes)

    async def read_load(self, engine: EngineStatus) -> EngineLoad:
        self.asked += 1
        return self.load

    def judge(self, engine_id: str, start: StartFigures, measured_bytes: int | None) -> str:
        self.judged.append((engine_id, start, measured_bytes))
        return self.remark

    @property
    def figures(self) -> EngineFigures:
        return self.fleet.figures_of("math-0")


def looks(world: World, *changes: Callable[[], object]) -> list[EngineFigures]:
    """The figures after each change, 10 s apart."""

    async def main() -> list[EngineFigures]:
        sampler = world.sampler()
        seen = []
        for change in changes:
            change()
            await sampler.sample()
            seen.append(world.figures)
            await asyncio.sleep(10)
        return seen

    return virtual_time.run(main())


def test_figures_of_a_ready_engine_and_its_rate_from_the_second_look_on(tmp_path: Path) -> None:
    world = World(tmp_path)

    def on() -> None:
        world.load = EngineLoad(4, 0, 150)

    first, second = looks(world, lambda: world.fleet.publish((READY,)), on)
    assert first == EngineFigures((), 1000, 900, 21_760, 1, 2, None)
    assert (second.running_requests, second.waiting_requests, second.tokens_per_s) == (4, 0, 5.0)
    assert [(name, start.kv_tokens, size) for name, start, size in world.judged] == [("math-0", 21_760, 900)] * 2


def test_an_engine_that_is_not_ready_is_not_asked(tmp_path: Path) -> None:
    world = World(tmp_path)
    (starting,) = looks(world, lambda: world.fleet.publish((replace(READY, state=EngineState.STARTING),)))
    assert (starting.measured_bytes, starting.running_requests, starting.tokens_per_s) == (900, None, None)
    assert (world.asked, world.judged) == (0, [])


def test_without_a_process_only_the_plan_is_known(tmp_path: Path) -> None:
    world = World(tmp_path)
    (absent,) = looks(world, lambda: world.fleet.publish((replace(READY, state=EngineState.FAILED, pid=None),)))
    assert absent == EngineFigures(planned_bytes=1000)


def test_memory_is_looked_at_anew_while_an_engine_starts_and_then_seldom(tmp_path: Path) -> None:
    world = World(tmp_path)

    def grown(state: EngineState = EngineState.READY) -> None:
        assert world.bytes is not None
        world.bytes += 1
        world.fleet.publish((replace(READY, state=state),))

    seen = looks(world, lambda: grown(EngineState.STARTING), lambda: grown(EngineState.STARTING), *[grown] * 5)
    assert [figures.measured_bytes for figures in seen] == [901, 902, 903, 903, 903, 906, 906]
    assert [size for *_, size in world.judged] == [903, 903, 903, 906, 906]


def test_another_process_starts_from_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    _, again = looks(
        world, lambda: world.fleet.publish((READY,)), lambda: world.fleet.publish((replace(READY, pid=51),))
    )
    assert again.tokens_per_s is None


def test_what_is_not_known_is_none_and_a_remark_is_passed_on(tmp_path: Path) -> None:
    world = World(tmp_path, load=EngineLoad(), bytes=None, remark="too much")
    _, found = looks(world, lambda: world.fleet.publish((READY,)), lambda: None)
    assert found == EngineFigures((), 1000, None, 21_760, None, None, None, "too much")
    assert world.fleet.figures_of("another") is NO_FIGURES


def test_the_loop_goes_on_after_an_error(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def main() -> None:
        sampler = world.sampler()
        world.fleet.publish((READY,))
        failing = [True]
        ask = sampler.read_load

        async def once_broken(engine: EngineStatus) -> EngineLoad:
            if failing:
                failing.clear()
                raise RuntimeError("broken")
            return await ask(engine)

        sampler.read_load = once_broken
        sampler.every_s = 0.01
        running = asyncio.create_task(sampler.run())
        await until(lambda: world.figures.running_requests == 1)
        assert not failing
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())  # threads of the sampler don't know of virtual time
