"""The request path of one process: gateway and coordinator with what they keep, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.ending import ended
from appliance.bootstrap.relaying import FastPath
from appliance.bootstrap.server import HttpServer
from appliance.bootstrap.upkeep import Upkeep
from appliance.coordinator.coordinator import Coordinator
from appliance.dispatch.dispatcher import Dispatcher
from appliance.engines.client import EngineClient
from appliance.telemetry.metrics import Metrics

SAVES_FIRST_S: Final = 10.0
"""A database that hangs must not keep the appliance from answering."""


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
        """See to what earlier runs left, then answer; at the latest after `SAVES_FIRST_S`, with the rest still to do.

        A process that ends again and again, soon after it started, would else leave more each time than the next one
        brings into the ledger, until the audit chain's last part, which is all that is looked at, has it no more.
        """
        parts = self.parts
        saving = asyncio.create_task(self._save_left(), name="what was left")
        try:
            await asyncio.wait({saving}, timeout=SAVES_FIRST_S)
            self._answering = asyncio.create_task(parts.server.serve(), name="gateway")
            await saving  # before what is too old is deleted, which it would take for missing
        finally:
            await ended(saving)
        background = parts.background
        if parts.upkeep is not None:
            await parts.upkeep.once()
            background = (*background, parts.upkeep.run)
        self._background += [asyncio.create_task(run()) for run in background]

    async def _save_left(self) -> None:
        for save in self.parts.save_left:
            await save()

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
