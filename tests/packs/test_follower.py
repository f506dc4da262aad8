"""Following packs, on virtual time, with scripted doors: what is silent, gone or new shows in the fleet in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import DemandEvent, Fleet
from appliance.packs.client import PackSilent
from appliance.packs.document import PackDocument, Report
from appliance.packs.follower import PackFollower
from appliance.packs.load import Load
from tests.fakes import virtual_time

A, B = "http://a:8090", "http://b:8090"
ENGINE = EngineStatus("m-0", "m", EngineState.READY, "http://10.0.0.1:8100", "secret", 512, 8)
SILENT_S = 5.0


@dataclass
class Doors:
    """PackReader over documents by URL; a door in `hung` never answers, one without a document refuses."""

    documents: dict[str, PackDocument] = field(default_factory=dict)
    hung: set[str] = field(default_factory=set)
    told: list[tuple[str, Report]] = field(default_factory=list)
    closed: bool = False

    async def read(self, url: str, source: str, tag: str | None, wait_s: float, limit_s: float) -> PackDocument | None:
        waited_s = 0.0
        while waited_s < (limit_s if url in self.hung else wait_s):
            if url not in self.hung and url not in self.documents:
                raise PackSilent("refused", refused=True)
            if url not in self.hung and self.documents[url].tag != tag:
                return self.documents[url]
            await asyncio.sleep(0.05)
            waited_s += 0.05
        if url in self.hung:
            raise PackSilent("no answer")
        return None

    async def tell(self, url: str, report: Report, limit_s: float) -> None:
        if url in self.hung or url not in self.documents:
            raise PackSilent("no answer")
        self.told.append((url, report))

    async def close(self) -> None:
        self.closed = True


def document(pack: str, version: int = 1, **changes: Any) -> PackDocument:
    return PackDocument(pack, f"i-{pack}", version, (replace(ENGINE, **changes),))


@dataclass
class Scene:
    fleet: Fleet
    doors: Doors
    follower: PackFollower
    load: list[Load]

    def states(self) -> dict[str, EngineState]:
        return {engine.engine_id: engine.state for engine in self.fleet.snapshot.engines}


def play(story: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        fleet, doors, load = Fleet(), Doors({A: document("a"), B: document("b")}), [Load()]
        follower = PackFollower(fleet, doors, source="g", load=lambda: load[0], silent_s=SILENT_S)
        follower.follow({A, B})
        await follower.asked_all(SILENT_S)
        try:
            await story(Scene(fleet, doors, follower, load))
        finally:
            await follower.close()
        assert doors.closed

    virtual_time.run(main())


def test_all_packs_are_one_fleet_and_news_come_at_once() -> None:
    async def story(scene: Scene) -> None:
        assert scene.states() == {"a/m-0": EngineState.READY, "b/m-0": EngineState.READY}
        scene.doors.documents[A] = document("a", 2, state=EngineState.DRAINING)
        await asyncio.sleep(0.2)
        assert scene.states()["a/m-0"] is EngineState.DRAINING

    play(story)


def test_a_pack_that_is_not_followed_any_more_is_gone_without_a_wait() -> None:
    async def story(scene: Scene) -> None:
        scene.follower.follow({B})
        assert scene.states() == {"b/m-0": EngineState.READY}

    play(story)


def test_a_pack_that_refuses_is_lost_within_a_second_and_one_that_hangs_within_its_limit() -> None:
    async def story(scene: Scene) -> None:
        del scene.doors.documents[A]
        await asyncio.sleep(1.0)
        assert scene.states() == {"a/m-0": EngineState.FAILED, "b/m-0": EngineState.READY}
        scene.doors.hung.add(B)
        await asyncio.sleep(SILENT_S + 0.5)
        assert scene.states()["b/m-0"] is EngineState.FAILED

    play(story)


def test_a_pack_that_comes_back_serves_again_though_nothing_about_it_has_changed() -> None:
    async def story(scene: Scene) -> None:
        scene.doors.hung.add(A)
        await asyncio.sleep(3 * SILENT_S)
        assert scene.states()["a/m-0"] is EngineState.FAILED
        scene.doors.hung.clear()
        await asyncio.sleep(3.0)
        assert scene.states()["a/m-0"] is EngineState.READY

    play(story)


def test_each_pack_hears_what_concerns_it() -> None:
    async def story(scene: Scene) -> None:
        scene.doors.documents[B] = document("b", 2, model_id="other", engine_id="other-0")
        await asyncio.sleep(0.2)
        scene.load[0] = Load({"a/m-0": 3}, {"m": 5})
        await asyncio.sleep(0.3)
        last = dict(scene.doors.told)
        assert (last[A].in_flight, last[A].wanted, last[A].version) == ({"m-0": 3}, {"m-0": 8}, 1)
        assert (last[B].in_flight, last[B].wanted, last[B].version) == ({}, {}, 2)

    play(story)


def test_who_waits_for_a_model_of_two_packs_wants_half_of_each() -> None:
    async def story(scene: Scene) -> None:
        scene.load[0] = Load({"a/m-0": 1}, {"m": 5})
        await asyncio.sleep(0.3)
        last = dict(scene.doors.told)
        assert (last[A].wanted, last[B].wanted) == ({"m-0": 4}, {"m-0": 3})

    play(story)


def test_wishes_are_told_as_long_as_they_are_renewed() -> None:
    async def story(scene: Scene) -> None:
        scene.fleet.demand.append(DemandEvent("m", 2, time.monotonic(), 1))
        scene.fleet.demand.append(DemandEvent("elsewhere", 2, time.monotonic()))
        await asyncio.sleep(0.3)
        told = dict(scene.doors.told)[A].wishes
        assert {model: (wish.waiting, wish.in_flight) for model, wish in told.items()} == {"m": (2, 1)}
        scene.fleet.demand.append(DemandEvent("m", 2, time.monotonic() - 60, 1))
        await asyncio.sleep(0.3)
        told = dict(scene.doors.told)[A].wishes
        assert {model: (wish.waiting, wish.in_flight) for model, wish in told.items()} == {"m": (0, 1)}

    play(story)


def test_a_quiet_gateway_is_still_heard_of() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(0.5)
        before = len(scene.doors.told)
        await asyncio.sleep(10)
        assert 2 * 8 <= len(scene.doors.told) - before <= 2 * 11

    play(story)
