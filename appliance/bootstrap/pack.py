"""One pack as a process: the supervisor with its engines, and the door for gateways."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

from appliance.bootstrap.control_loop import ControlLoop
from appliance.bootstrap.control_wiring import LauncherMaker, build_control_loop
from appliance.bootstrap.data_dir import locked
from appliance.bootstrap.ending import ended
from appliance.bootstrap.pack_engines import lineup_here, placed
from appliance.bootstrap.server import HttpServer, listen
from appliance.config import Settings
from appliance.domain.engine import EngineState
from appliance.domain.fleet import Fleet
from appliance.errors import EngineStartError
from appliance.packs.door import Door
from appliance.packs.keys import PackKeys
from appliance.supervisor.supervisor import Progress
from appliance.telemetry.pack_metrics import PackMetrics

_LOOK_S = 0.5
_DRAIN_S = 1.0
"""For answers of the door in flight: gateways that wait for news ask again."""


@dataclass(frozen=True, slots=True)
class PackParts:
    """What a pack is made of. `release` gives lock, ports and the door's socket back.

    `grouped`: its engine runs on other nodes, too. Restarted here alone it would wait for them in vain, so the process
    ends with it, and whoever started the group (a LeaderWorkerSet) starts all of it anew.
    """

    fleet: Fleet
    engines: ControlLoop
    door: Door
    server: HttpServer
    release: Callable[[], None]
    grouped: bool = False


class Pack:
    """`start` once, `serve` until something ends it, then `stop`; `stop` is right after any of them, or none."""

    def __init__(self, parts: PackParts) -> None:
        self._parts = parts
        self._answering: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where the door listens."""
        return self._parts.server.url

    @property
    def fleet(self) -> Fleet:
        """Its engines."""
        return self._parts.fleet

    async def start(self, progress: Progress | None = None) -> None:
        """Open the door, then start all engines; return when every one is ready.

        Raises CatalogError and EngineStartError.
        """
        parts = self._parts
        self._answering = asyncio.create_task(parts.server.serve(), name="door")
        self._looking = asyncio.create_task(parts.door.run(), name="door's look")
        await parts.engines.start(progress)
        parts.door.started = True

    async def serve(self) -> None:
        """Return when the door has ended; raise what the supervisor could not bear."""
        tasks = [task for task in (self._answering, self._parts.engines.running) if task is not None]
        if self._parts.grouped:
            tasks.append(asyncio.create_task(_until_failed(self._parts.fleet), name="group"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            if self._parts.grouped:
                tasks[-1].cancel()

    async def stop(self) -> None:
        """Tell the gateways, let calls in flight end for a while, end all engines; nothing is left on return.

        Each cancellation while it runs cuts the present step short and goes on with the next one.
        """
        parts = self._parts
        async with AsyncExitStack() as steps:  # from the last one upwards
            steps.callback(parts.release)
            steps.push_async_callback(self._close_door)
            steps.push_async_callback(ended, self._looking)
            steps.push_async_callback(parts.engines.stop)
            if parts.door.started:
                steps.push_async_callback(parts.door.drain)

    async def _close_door(self) -> None:
        self._parts.server.stop()
        if self._answering is not None:
            await self._answering


def build_pack(
    settings: Settings, plan: Path | None, name: str | None, *, make_launcher: LauncherMaker | None = None
) -> Pack:
    """A pack that holds its data directory and the door's port, and has started nothing yet.

    Its engines are those of pack `name` of `plan`, or what `up` would start here. Raises AlreadyRunning, ConfigError,
    CatalogError and InventoryError; nothing is held then.
    """
    said = settings.cluster.door
    with ExitStack() as held:
        held.enter_context(locked(settings.data_dir))
        listener = held.enter_context(listen(said.host, said.port, "cluster.door"))
        lineup = lineup_here(settings, plan, name)
        fleet = Fleet()
        keys = PackKeys(settings.below_data_dir(settings.cluster.key_file), make=True)
        engines = build_control_loop(
            lineup, fleet, held, make_launcher=make_launcher, host=said.engine_host, adapt=placed(settings)
        )
        metrics = PackMetrics(models=list(lineup.models), fleet=fleet)
        door = Door(
            said.name or socket.gethostname(),
            fleet,
            keys,
            exposition=metrics.exposition,
            open_metrics=said.open_metrics,
        )
        server = HttpServer(door.app, listener, _DRAIN_S)
        grouped = settings.cluster.group.size > 1
        return Pack(PackParts(fleet, engines, door, server, held.pop_all().close, grouped))


async def _until_failed(fleet: Fleet) -> None:
    """Raises EngineStartError when an engine has failed."""
    while True:
        for engine in fleet.snapshot.engines:
            if engine.state is EngineState.FAILED:
                raise EngineStartError(f"{engine.detail}; all nodes of the group have to start anew")
        await asyncio.sleep(_LOOK_S)
