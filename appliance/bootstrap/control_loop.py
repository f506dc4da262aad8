"""The control loop of one process: supervisor, sampler and whoever makes the plan anew, started and stopped as one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from appliance.bootstrap.ending import ended
from appliance.bootstrap.replanning import Replanning
from appliance.bootstrap.running_plan import remove_plan, write_plan
from appliance.domain.fleet import Fleet, PlanNote
from appliance.domain.placement import PlacementPlan
from appliance.engines.client import EngineClient
from appliance.engines.load import LoadReader
from appliance.engines.sampler import Sampler
from appliance.supervisor.supervisor import Progress, Supervisor

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ControlParts:
    """What a control loop is made of.

    `plan` is what it starts by, None where it follows its pool; `replanning` makes it anew later, where it may.
    `notes` are for the log. `verify` checks the weights on disk.
    """

    data_dir: Path
    fleet: Fleet
    supervisor: Supervisor
    sampler: Sampler
    loads: LoadReader
    client: EngineClient
    plan: PlacementPlan | None
    replanning: Replanning | None
    notes: tuple[str, ...]
    verify: Callable[[], None]


class ControlLoop:
    """`start` once, then `stop`; `stop` is right without a start, too."""

    def __init__(self, parts: ControlParts) -> None:
        self._parts = parts
        self._watching: asyncio.Task[None] | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._replanning: asyncio.Task[None] | None = None

    @property
    def running(self) -> asyncio.Task[None] | None:
        """Ends only with what the supervisor could not bear."""
        return self._watching

    async def start(self, progress: Progress | None = None) -> None:
        """Check the weights, start all engines; return when every one is ready.

        Raises CatalogError and EngineStartError.
        """
        parts = self._parts
        for note in parts.notes:
            _log.info("placement", note=note)
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

    async def stop(self) -> None:
        """End all engines; nothing is left on return. Each cancellation cuts the present step short, as in
        `Appliance.stop`."""
        parts = self._parts
        async with AsyncExitStack() as steps:  # from the last one upwards, each of them whatever became of the others
            steps.push_async_callback(parts.client.close)
            steps.push_async_callback(parts.loads.close)
            steps.push_async_callback(parts.supervisor.stop)
            steps.push_async_callback(ended, self._sampling)
            steps.push_async_callback(ended, self._watching)
            steps.push_async_callback(ended, self._replanning)
            steps.callback(remove_plan, parts.data_dir)
