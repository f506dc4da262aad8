"""The door of a pack: what gateways ask it and tell it, and what Kubernetes and Prometheus ask.

It is another door than the gateway's, for other callers, so its few status codes are chosen here.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.packs.document import NotUnderstood, PackDocument, document_json, read_report
from appliance.packs.load import Load
from appliance.packs.sources import Sources

LONGEST_WAIT_S = 30.0
LOOK_S = 0.05
"""The fleet is looked at this often, which is how late a gateway hears of news at most."""
MAX_REPORT_BYTES = 1_000_000
CONFIRM_S = 2.0
"""Gateways get this long to take in what there is to know, that the pack ends for example, before others go by it."""
_SOURCE_CHARS = 300


class Keys(Protocol):
    """Who may come in."""

    def allows(self, key: bytes) -> bool:
        """Whether the holder of `key` may."""


class Door:
    """Serves one `fleet` under the name of a pack. `app` answers as long as `run` runs.

    One task owns what is known of the sources: the event loop's, since no handler awaits between reading and writing.
    """

    def __init__(
        self,
        name: str,
        fleet: Fleet,
        keys: Keys,
        *,
        exposition: Callable[[], bytes],
        open_metrics: bool = False,
        more: Sequence[BaseRoute] = (),
    ) -> None:
        self._name = name
        self._fleet = fleet
        self._keys = keys
        self._exposition = exposition
        self._open_metrics = open_metrics
        self._instance = secrets.token_hex(8)
        self._version = 1
        self._seen: tuple[object, ...] = ()
        self._sources = Sources()
        self._news = asyncio.Event()
        self.started = False
        self._draining = False
        self.app = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/started", self._started),
                Route("/ready", self._ready),
                Route("/pack", self._pack),
                Route("/pack/demand", self._demand, methods=["POST"]),
                Route("/metrics", self._metrics),
                *more,
            ]
        )

    async def run(self) -> None:
        """Look for news until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(LOOK_S)

    async def drain(self) -> None:
        """Tell everybody that the engines take no more calls; return when all have taken it in, or after a while."""
        self._draining = True
        self._changed()
        await self.taken_in()

    async def taken_in(self) -> None:
        """Return when everybody who follows goes by what the fleet is now, or after a while."""
        self._look()
        version = self._version
        try:
            async with asyncio.timeout(CONFIRM_S):
                while not self._sources.confirmed(version):  # noqa: ASYNC110 - reports come by HTTP
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return

    def load(self) -> Load:
        """What all who were heard of have in flight here, and what waits with them."""
        return self._sources.load(self._fleet.snapshot.engines)

    def allows(self, request: Request) -> bool:
        """Whether a request carries one of the keys."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._keys.allows(key.strip().encode())

    def _look(self) -> None:
        for event in self._sources.forget(time.monotonic()):
            self._fleet.demand.append(event)
        now = (self._fleet.snapshot, self._fleet.figures, self._fleet.plan)
        # By identity: snapshots and figures are replaced, never changed.
        fresh = len(self._seen) != len(now) or any(old is not new for old, new in zip(self._seen, now, strict=False))
        self._seen = now
        if self._divide() or fresh:
            self._changed()

    def _divide(self) -> bool:
        return self._sources.divide(self._fleet.snapshot.engines, self._version + 1)

    def _changed(self) -> None:
        self._version += 1
        self._news.set()
        self._news = asyncio.Event()

    def _document(self, source: str | None) -> PackDocument:
        engines = self._fleet.snapshot.engines
        if source is not None:
            self._sources.seen(source, time.monotonic())
            self._look()  # engines and sources that came since have no shares yet
            engines = tuple(self._sources.with_shares(engine, source) for engine in engines)
        if self._draining:
            engines = tuple(
                replace(engine, state=EngineState.DRAINING, detail="its pack ends") if _takes_calls(engine) else engine
                for engine in engines
            )
        return PackDocument(self._name, self._instance, self._version, engines, self._fleet.figures, self._fleet.plan)

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _started(self, _request: Request) -> Response:
        return JSONResponse({"started": self.started}, 200 if self.started else 503)

    async def _ready(self, _request: Request) -> Response:
        engines = self._fleet.snapshot.engines
        serves = any(_takes_calls(engine) for engine in engines)
        ready = serves and not self._draining
        states = {engine.engine_id: engine.state.value for engine in engines}
        return JSONResponse({"ready": ready, "draining": self._draining, "engines": states}, 200 if ready else 503)

    async def _pack(self, request: Request) -> Response:
        if not self.allows(request):
            return _refused()
        source = request.query_params.get("source")
        wait_s = _seconds(request.query_params.get("wait_s"))
        if wait_s is None or (source is not None and not 0 < len(source) <= _SOURCE_CHARS):
            return _wrong("source is a name, wait_s a number from 0 to 30")
        if source is not None:
            self._sources.seen(source, time.monotonic())
        known = request.headers.get("if-none-match")
        until_s = time.monotonic() + wait_s
        while known == self._tag and (left_s := until_s - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._news.wait(), left_s)
            except TimeoutError:
                break
        if known == self._tag:
            return Response(status_code=304, headers={"etag": self._tag})
        document = self._document(source)
        headers = {"etag": document.tag, "cache-control": "no-store"}
        return Response(document_json(document), media_type="application/json", headers=headers)

    async def _demand(self, request: Request) -> Response:
        if not self.allows(request):
            return _refused()
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_REPORT_BYTES:
                return _wrong("too long", 413)
        try:
            report = read_report(bytes(body))
        except NotUnderstood as error:
            return _wrong(str(error))
        events = self._sources.heard(report, time.monotonic(), mine=report.instance == self._instance)
        self._fleet.demand.extend(events)
        self._look()
        return Response(status_code=204)

    async def _metrics(self, request: Request) -> Response:
        if not self._open_metrics and not self.allows(request):
            return _refused()
        return Response(self._exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @property
    def _tag(self) -> str:
        return f'"{self._instance}-{self._version}"'


def _takes_calls(engine: EngineStatus) -> bool:
    return engine.state is EngineState.READY or engine.awaits_turn


def _seconds(given: str | None) -> float | None:
    try:
        wait_s = float(given or 0)
    except ValueError:
        return None
    return wait_s if 0 <= wait_s <= LONGEST_WAIT_S else None


def _refused() -> Response:
    return JSONResponse({"error": {"message": "the pack's key is wanted: Authorization: Bearer <key>"}}, 401)


def _wrong(message: str, status: int = 400) -> Response:
    return JSONResponse({"error": {"message": message}}, status)
