"""The door over HTTP: who gets in, how news travels, what a pack that ends says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from appliance.bootstrap.server import HttpServer, listen
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import DemandEvent, Fleet
from appliance.packs.client import HttpPackReader
from appliance.packs.document import Report, Wish
from appliance.packs.door import Door
from appliance.packs.keys import OneKey

KEY = "k" * 40
ENGINE = EngineStatus("m-0", "m", EngineState.READY, "http://10.0.0.1:8100", "engine-secret", 512, 8)


@dataclass
class House:
    fleet: Fleet
    door: Door
    url: str
    reader: HttpPackReader

    async def get(self, path: str, key: str | None = None, **headers: str) -> tuple[int, str]:
        said = headers | ({} if key is None else {"Authorization": f"Bearer {key}"})
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}{path}", headers=said) as response:
            return response.status, await response.text()

    async def post(self, body: bytes, key: str = KEY) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/pack/demand", data=body, headers=headers) as response,
        ):
            return response.status


@asynccontextmanager
async def house(open_metrics: bool = False) -> AsyncIterator[House]:
    fleet = Fleet()
    fleet.publish((ENGINE,))
    door = Door("p", fleet, OneKey(KEY), exposition=lambda: b"up 1\n", open_metrics=open_metrics)
    server = HttpServer(door.app, listen("127.0.0.1", 0), 1)
    tasks = [asyncio.create_task(server.serve()), asyncio.create_task(door.run())]
    reader = HttpPackReader(lambda: KEY)
    try:
        yield House(fleet, door, server.url, reader)
    finally:
        await reader.close()
        server.stop()
        await tasks[0]
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(story: Callable[[House], Awaitable[Any]], **options: bool) -> None:
    async def main() -> None:
        async with house(**options) as found:
            await story(found)

    asyncio.run(main())


def test_only_probes_need_no_key_and_nobody_without_one_learns_of_engines() -> None:
    async def story(found: House) -> None:
        assert await found.get("/health") == (200, '{"status":"alive"}')
        for path in ("/pack", "/pack?source=g", "/metrics"):
            for key in (None, "wrong" * 10):
                status, text = await found.get(path, key)
                assert (status, "engine-secret" in text) == (401, False)
        assert await found.post(b"{}", "wrong") == 401
        assert "engine-secret" not in (await found.get("/ready"))[1]
        assert await found.get("/metrics", KEY) == (200, "up 1\n")
        assert (await found.get("/pack", KEY))[0] == 200

    run(story)


def test_metrics_may_be_open() -> None:
    async def story(found: House) -> None:
        assert (await found.get("/metrics"))[0] == 200

    run(story, open_metrics=True)


def test_started_once_ready_while_an_engine_serves() -> None:
    async def story(found: House) -> None:
        assert ((await found.get("/started"))[0], (await found.get("/ready"))[0]) == (503, 200)
        found.door.started = True
        assert (await found.get("/started"))[0] == 200
        found.fleet.publish((replace(ENGINE, state=EngineState.FAILED),))
        assert ((await found.get("/started"))[0], (await found.get("/ready"))[0]) == (200, 503)

    run(story)


def test_a_reader_waits_for_news_and_gets_them_at_once() -> None:
    async def story(found: House) -> None:
        first = await found.reader.read(found.url, "g", None, 0, 5)
        assert first is not None
        assert (first.pack, first.engines) == ("p", (ENGINE,))
        assert await found.reader.read(found.url, "g", first.tag, 0, 5) is None
        waiting = asyncio.create_task(found.reader.read(found.url, "g", first.tag, 20, 25))
        await asyncio.sleep(0)
        found.fleet.publish((replace(ENGINE, state=EngineState.FAILED),))
        second = await asyncio.wait_for(waiting, 10)
        assert second is not None
        assert (second.engines[0].state, second.version > first.version) == (EngineState.FAILED, True)

    run(story)


def test_places_are_shared_among_those_who_ask_and_demand_is_added_up() -> None:
    async def story(found: House) -> None:
        for name in ("a", "b"):
            await found.reader.read(found.url, name, None, 0, 5)
        halved = await found.reader.read(found.url, "a", None, 0, 5)
        assert halved is not None
        assert halved.engines[0].max_num_seqs == 4
        await found.reader.tell(found.url, Report("a", halved.instance, halved.version), 5)
        seen = [await found.reader.read(found.url, name, None, 0, 5) for name in ("a", "b")]
        assert [document.engines[0].max_num_seqs for document in seen if document is not None] == [4, 4]
        for document, name in zip(seen, ("a", "b"), strict=True):
            assert document is not None
            report = Report(name, document.instance, document.version, wishes={"m": Wish(2, 1)})
            await found.reader.tell(found.url, report, 5)
        events = list(found.fleet.demand)
        assert [(event.model_id, event.waiting, event.in_flight) for event in events] == [("m", 2, 1), ("m", 4, 2)]
        assert isinstance(events[0], DemandEvent)

    run(story)


def test_what_is_no_report_or_query_is_refused() -> None:
    async def story(found: House) -> None:
        assert await found.post(b"no") == 400
        assert await found.post(b"x" * 1_000_001) == 413
        for query in ("wait_s=soon", "wait_s=31", "wait_s=-1", "wait_s=nan", "source="):
            assert (await found.get(f"/pack?{query}", KEY))[0] == 400, query
        assert (await found.get("/workers/1", KEY))[0] == 404

    run(story)


def test_who_waits_hears_when_all_that_follow_know_the_engines_as_they_are_now() -> None:
    async def story(found: House) -> None:
        first = await found.reader.read(found.url, "g", None, 0, 5)
        assert first is not None
        await found.reader.tell(found.url, Report("g", first.instance, first.version), 5)
        await asyncio.wait_for(found.door.taken_in(), 1)
        found.fleet.publish(())
        waiting = asyncio.create_task(found.door.taken_in())
        last = await found.reader.read(found.url, "g", first.tag, 20, 25)
        assert last is not None
        assert not waiting.done()
        await found.reader.tell(found.url, Report("g", last.instance, last.version), 5)
        await asyncio.wait_for(waiting, 1)

    run(story)


def test_a_pack_that_ends_says_so_before_its_engines_do() -> None:
    async def story(found: House) -> None:
        first = await found.reader.read(found.url, "g", None, 0, 5)
        assert first is not None
        await found.reader.tell(found.url, Report("g", first.instance, first.version), 5)
        draining = asyncio.create_task(found.door.drain())
        last = await found.reader.read(found.url, "g", first.tag, 20, 25)
        assert last is not None
        assert (last.engines[0].state, last.engines[0].detail) == (EngineState.DRAINING, "its pack ends")
        assert not draining.done()
        await found.reader.tell(found.url, Report("g", last.instance, last.version), 5)
        await asyncio.wait_for(draining, 1)
        assert (await found.get("/ready"))[0] == 503

    run(story)
