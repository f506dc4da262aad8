"""Keeps a fleet in step with packs: reads their doors, and tells them what is wanted of their engines."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import ceil

import structlog

from appliance.domain.fleet import DemandEvent, Fleet
from appliance.packs.client import PackReader, PackSilent
from appliance.packs.document import Report, Wish
from appliance.packs.load import Load
from appliance.packs.merge import Heard, Merged, merged

TELL_S = 0.1
"""What is in flight is told this often while it changes."""
HEARTBEAT_S = 1.0
"""And this often where it does not, so that the pack knows that we are there."""
RENEWED_S = 2.0
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 2.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Pack:
    """One that is followed. `heard` is None before its first word."""

    reading: asyncio.Task[None] | None = None
    telling: asyncio.Task[None] | None = None
    heard: Heard | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it was asked, whatever came of it."""
    answered_s: float = 0.0
    said: str = ""


class PackFollower:
    """Owned by the event loop it runs in. `follow` says which doors there are, as often as that changes.

    `source` names this process at the packs, `load` says what it has in flight. `silent_s` as in the configuration.
    With `named`, engines are called after their pack.
    """

    def __init__(
        self,
        fleet: Fleet,
        reader: PackReader,
        *,
        source: str,
        load: Callable[[], Load],
        silent_s: float,
        named: bool = True,
    ) -> None:
        self._fleet = fleet
        self._reader = reader
        self._source = source
        self._load = load
        self._silent_s = silent_s
        self._named = named
        self._packs: dict[str, _Pack] = {}
        self._merged = Merged()
        self._wanted: dict[str, DemandEvent] = {}

    def follow(self, urls: Collection[str]) -> None:
        """From now on these are the doors; engines of others leave the fleet at once."""
        for url in [url for url in self._packs if url not in urls]:
            pack = self._packs.pop(url)
            for task in (pack.reading, pack.telling):
                if task is not None:
                    task.cancel()
            _log.info("a pack is gone", pack=url)
        for url in sorted(set(urls) - self._packs.keys()):
            pack = self._packs[url] = _Pack(answered_s=_now_s())
            pack.reading = asyncio.create_task(self._keep_reading(url, pack), name=f"read {url}")
            pack.telling = asyncio.create_task(self._keep_telling(url, pack), name=f"tell {url}")
            _log.info("a pack is followed", pack=url)
        self._publish()

    async def asked_all(self, limit_s: float) -> None:
        """Return when each pack was asked once, or after `limit_s`."""
        waits = [pack.asked.wait() for pack in self._packs.values()]
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.gather(*waits)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Follow nobody any more; the fleet stays as it is."""
        tasks = [task for pack in self._packs.values() for task in (pack.reading, pack.telling) if task is not None]
        self._packs = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reader.close()

    async def _keep_reading(self, url: str, pack: _Pack) -> None:
        """Ask again and again. A door that is not there is asked twice before its engines count as lost."""
        failures = 0
        while True:
            tag = None if pack.heard is None or pack.heard.silent else pack.heard.document.tag
            try:
                document = await self._reader.read(url, self._source, tag, self._silent_s / 2, self._silent_s)
            except PackSilent as error:
                failures += 1
                pack.asked.set()
                overdue = _now_s() - pack.answered_s >= self._silent_s
                if overdue or (error.refused and failures > 1):
                    self._lose(url, pack, str(error))
                longest_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(failures - 1, 10))
                await asyncio.sleep(random.uniform(longest_s / 2, longest_s))
                continue
            failures, pack.answered_s = 0, _now_s()
            if document is not None:
                pack.heard = Heard(document)
                self._publish()
            if pack.said:
                _log.info("a pack answers again", pack=url)
                pack.said = ""
            pack.asked.set()

    def _lose(self, url: str, pack: _Pack, reason: str) -> None:
        if pack.said != reason:
            pack.said = reason
            _log.warning("a pack does not answer", pack=url, reason=reason)
        if pack.heard is not None and not pack.heard.silent:
            pack.heard = Heard(pack.heard.document, silent=True)
            self._publish()

    async def _keep_telling(self, url: str, pack: _Pack) -> None:
        """Tell what has changed; a report that is lost is followed by the next one, which says all again."""
        told, told_s = Report(self._source), 0.0
        while True:
            await asyncio.sleep(TELL_S)
            if pack.heard is None or pack.heard.silent:
                continue
            report = self._report(url, pack.heard)
            if report == told and _now_s() - told_s < HEARTBEAT_S:
                continue
            try:
                await self._reader.tell(url, report, self._silent_s)
            except PackSilent:
                continue
            told, told_s = report, _now_s()

    def _report(self, url: str, heard: Heard) -> Report:
        load, document, wishes = self._load(), heard.document, self._wishes()
        here = {name: engine_id for name, (address, engine_id) in (self._merged.homes or {}).items() if address == url}
        models = {engine.model_id for engine in document.engines}
        in_flight = {engine_id: load.in_flight[name] for name, engine_id in here.items() if name in load.in_flight}
        serving = [engine for engine in self._merged.engines if engine.model_id in models]
        wanted = dict(in_flight)
        for engine in serving:
            if engine.engine_id in here and (waiting := load.waiting.get(engine.model_id, 0)):
                replicas = sum(other.model_id == engine.model_id for other in serving)
                engine_id = here[engine.engine_id]
                wanted[engine_id] = in_flight.get(engine_id, 0) + ceil(waiting / replicas)
        mine = {model: wish for model, wish in wishes.items() if model in models}
        return Report(self._source, document.instance, document.version, in_flight, wanted, mine)

    def _wishes(self) -> Mapping[str, Wish]:
        """The newest of each model. Those who wait say so again and again; what was not said again waits no more."""
        while self._fleet.demand:
            event = self._fleet.demand.popleft()
            self._wanted[event.model_id] = event
        now_s = time.monotonic()  # the dispatcher's clock
        return {
            model: Wish(event.waiting if now_s - event.at_s <= RENEWED_S else 0, event.in_flight)
            for model, event in self._wanted.items()
        }

    def _publish(self) -> None:
        heard = {url: pack.heard for url, pack in self._packs.items() if pack.heard is not None}
        self._merged = merged(heard, named=self._named)
        if self._merged.engines != self._fleet.snapshot.engines:
            self._fleet.publish(self._merged.engines)
        self._fleet.figures = self._merged.figures or {}
        if not self._named:
            self._fleet.plan = next((one.document.plan for one in heard.values()), None)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
