"""The request path of one process: gateway and coordinator with what they keep, started and stopped together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from appliance.access.book import TenantBook
from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.server import HttpServer
from appliance.coordinator.coordinator import Coordinator
from appliance.dispatch.dispatcher import Dispatcher
from appliance.engines.client import EngineClient
from appliance.ledger.trace_store import TraceStore
from appliance.telemetry.metrics import Metrics

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class RequestParts:
    """What a request path is made of. `save_interrupted` makes traces of what a killed process was answering.

    `keep_days` is None where somebody else deletes old traces, `book` where no key is asked for.
    """

    server: HttpServer
    coordinator: Coordinator
    dispatcher: Dispatcher
    client: EngineClient
    traces: TraceStore
    tally: DemandTally
    metrics: Metrics
    keep_days: int | None
    book: TenantBook | None
    save_interrupted: Callable[[], Awaitable[int]]


class RequestPath:
    """`start` once, then `stop`; `stop` is right without a start, too."""

    def __init__(self, parts: RequestParts) -> None:
        self.parts = parts
        self._answering: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.parts.server.url

    @property
    def running(self) -> asyncio.Task[None] | None:
        """Ends when the server does."""
        return self._answering

    async def start(self) -> None:
        """Answer at once; then see to what earlier runs left."""
        parts = self.parts
        if parts.book is not None:
            self._looking = asyncio.create_task(parts.book.run(), name="tenants and keys")
        self._answering = asyncio.create_task(parts.server.serve(), name="gateway")
        if parts.keep_days is not None:
            now_unix_s = time.time()
            await parts.traces.prune(now_unix_s - parts.keep_days * _DAY_S, now_unix_s)
        await parts.save_interrupted()

    async def stop(self) -> None:
        """Take no more requests and let those in flight end for a while."""
        parts = self.parts
        async with AsyncExitStack() as steps:  # from the last one upwards
            steps.push_async_callback(parts.client.close)
            steps.push_async_callback(parts.coordinator.close)
            steps.push_async_callback(self._stop_looking)
            steps.push_async_callback(self._stop_answering)

    async def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def _stop_answering(self) -> None:
        self.parts.server.stop()
        if self._answering is not None:
            await self._answering
