"""The request path of one process: gateway and coordinator with what they keep, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.ending import ended
from appliance.bootstrap.relaying import FastPath
from appliance.bootstrap.server import HttpServer
from appliance.bootstrap.upkeep import Upkeep
from appliance.coordinator.coordinator import Coordinator
from appliance.dispatch.dispatcher import Dispatcher
from appliance.engines.client import EngineClient
from appliance.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class RequestParts:
    """What a request path is made of. `save_left` makes traces of what a killed process was answering.

    `upkeep` is None where somebody else deletes what is old. What stands in `background` runs from start to stop.
    """

    server: HttpServer
    coordinator: Coordinator
    dispatcher: Dispatcher
    client: EngineClient
    relay: FastPath | None
    tally: DemandTally
    metrics: Metrics
    upkeep: Upkeep | None
    background: tuple[Callable[[], Coroutine[Any, Any, None]], ...]
    save_left: tuple[Callable[[], Awaitable[int]], ...]


class RequestPath:
    """`start` once, then `stop`; `stop` is right without a start, too."""

    def __init__(self, parts: RequestParts) -> None:
        self.parts = parts
        self._answering: asyncio.Task[None] | None = None
        self._background: list[asyncio.Task[None]] = []

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
        self._answering = asyncio.create_task(parts.server.serve(), name="gateway")
        for save in parts.save_left:  # before what is too old is deleted, which it would take for missing
            await save()
        background = parts.background
        if parts.upkeep is not None:
            await parts.upkeep.once()
            background = (*background, parts.upkeep.run)
        self._background += [asyncio.create_task(run()) for run in background]

    async def caught_up(self) -> None:
        """It reads the fleet itself, so it is never behind."""

    async def stop(self) -> None:
        """Take no more requests and let those in flight end for a while."""
        parts = self.parts
        async with AsyncExitStack() as steps:  # from the last one upwards
            for task in self._background:
                steps.push_async_callback(ended, task)
            steps.push_async_callback(parts.client.close)
            if parts.relay is not None:
                steps.push_async_callback(parts.relay.close)
            steps.push_async_callback(parts.coordinator.close)
            steps.push_async_callback(self._stop_answering)

    async def _stop_answering(self) -> None:
        self.parts.server.stop()
        if self._answering is not None:
            await self._answering
