"""One running appliance: gateway, coordinator and supervisor in one process, started and stopped as a whole."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from appliance.bootstrap import data_dir as data_dirs
from appliance.bootstrap.data_dir import Running
from appliance.bootstrap.replanning import Replanning
from appliance.bootstrap.running_plan import remove_plan, write_plan
from appliance.bootstrap.server import HttpServer
from appliance.coordinator.coordinator import Coordinator
from appliance.domain.fleet import Fleet, PlanNote
from appliance.domain.placement import PlacementPlan
from appliance.engines.client import EngineClient
from appliance.engines.load import LoadReader
from appliance.engines.sampler import Sampler
from appliance.ledger.trace_store import TraceStore
from appliance.supervisor.supervisor import Progress, Supervisor

_DAY_S = 86_400

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an appliance is made of.

    `plan` is what it starts by, None where it follows its pool; `replanning` makes it anew later, where it may.
    `notes` are for the log. `save_interrupted` makes traces of what a killed process was answering. `verify` checks
    the weights on disk; `release` gives lock and port back.
    """

    data_dir: Path
    api_key_file: Path | None
    keep_days: int
    fleet: Fleet
    server: HttpServer
    coordinator: Coordinator
    supervisor: Supervisor
    sampler: Sampler
    loads: LoadReader
    client: EngineClient
    traces: TraceStore
    plan: PlacementPlan | None
    replanning: Replanning | None
    notes: tuple[str, ...]
    save_interrupted: Callable[[], Awaitable[int]]
    verify: Callable[[], None]
    release: Callable[[], None]


class Appliance:
    """`start` once, `serve` until something ends it, then `stop`; `stop` is right after any of them, or none."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._answering: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._replanning: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._parts.server.url

    @property
    def api_key_file(self) -> Path | None:
        """Where the keys stand; None when none is asked for."""
        return self._parts.api_key_file

    @property
    def fleet(self) -> Fleet:
        """Its engines."""
        return self._parts.fleet

    async def start(self, progress: Progress | None = None) -> None:
        """Answer /health at once, check the weights, start all engines; return when every one is ready.

        Raises CatalogError and EngineStartError.
        """
        parts = self._parts
        for note in parts.notes:
            _log.info("placement", note=note)
        self._answering = asyncio.create_task(parts.server.serve(), name="gateway")
        await parts.traces.prune(time.time() - parts.keep_days * _DAY_S)
        await parts.save_interrupted()
        await asyncio.to_thread(parts.verify)
        self._sampling = asyncio.create_task(parts.sampler.run(), name="sampler")
        await parts.supervisor.start(progress)
        self._watching = asyncio.create_task(parts.supervisor.run(), name="supervisor")
        if parts.plan is None:
            remove_plan(parts.data_dir)  # a killed run by a plan may have left one
        else:
            write_plan(parts.data_dir, parts.plan)
            parts.fleet.plan = PlanNote(time.time(), ("the appliance started",))
        if parts.replanning is not None:
            self._replanning = asyncio.create_task(parts.replanning.run(), name="replanning")
        data_dirs.write_running(parts.data_dir, Running(self.url, os.getpid(), parts.api_key_file))

    async def serve(self) -> None:
        """Return when the gateway has ended; raise what the supervisor could not bear."""
        tasks = [task for task in (self._answering, self._watching) if task is not None]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Take no more requests, let those in flight end for a while, end all engines; nothing is left on return.

        Each cancellation while it runs cuts the present step short and goes on with the next one.
        """
        parts = self._parts
        async with AsyncExitStack() as steps:  # from the last one upwards, each of them whatever became of the others
            steps.callback(parts.release)
            steps.push_async_callback(parts.client.close)
            steps.push_async_callback(parts.loads.close)
            steps.push_async_callback(parts.supervisor.stop)
            steps.push_async_callback(_end, self._sampling)
            steps.push_async_callback(_end, self._watching)
            steps.push_async_callback(_end, self._replanning)
            steps.push_async_callback(parts.coordinator.close)
            steps.push_async_callback(self._stop_answering)
            steps.callback(remove_plan, parts.data_dir)
            steps.callback(data_dirs.remove_running, parts.data_dir)

    async def _stop_answering(self) -> None:
        self._parts.server.stop()
        if self._answering is not None:
            await self._answering


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
