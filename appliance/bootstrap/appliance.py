"""One running appliance: whoever answers requests, and whoever knows the engines, started and stopped as a whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.bootstrap import data_dir as data_dirs
from appliance.bootstrap.data_dir import Running
from appliance.domain.fleet import Fleet
from appliance.supervisor.supervisor import Progress


class Front(Protocol):
    """Whoever answers requests: a request path in this process, or workers that have one each."""

    @property
    def url(self) -> str:
        """Where it listens."""

    @property
    def running(self) -> asyncio.Task[None] | None:
        """Ends when nobody answers any more."""

    async def start(self) -> None:
        """Answer /health at once; return when requests can be answered."""

    async def caught_up(self) -> None:
        """Return when all that answer know the engines as they are now, or after a while."""

    async def stop(self) -> None:
        """Take no more requests, let those in flight end for a while."""


class Engines(Protocol):
    """Whoever fills the fleet: a control loop in this process, or a follower of packs elsewhere."""

    @property
    def running(self) -> asyncio.Task[None] | None:
        """Ends only with an error that can't be borne."""

    async def start(self, progress: Progress | None = None) -> None:
        """Return when the engines are there, as far as anybody here can see to that."""

    async def stop(self) -> None:
        """End the engines, or stop following them."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an appliance is made of. `data_dir` gets the note of where it listens, where there is to be one.

    `release` gives lock and port back. With `engines_first` nobody is answered before the engines are known.
    """

    data_dir: Path | None
    api_key_file: Path | None
    fleet: Fleet
    front: Front
    engines: Engines
    release: Callable[[], None]
    engines_first: bool = False


class Appliance:
    """`start` once, `serve` until something ends it, then `stop`; `stop` is right after any of them, or none."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._parts.front.url

    @property
    def api_key_file(self) -> Path | None:
        """Where the keys stand; None when none is asked for."""
        return self._parts.api_key_file

    @property
    def fleet(self) -> Fleet:
        """Its engines."""
        return self._parts.fleet

    async def start(self, progress: Progress | None = None) -> None:
        """Answer /health at once, then see to the engines; return when all is there.

        Raises CatalogError and EngineStartError.
        """
        parts = self._parts
        if parts.engines_first:
            await parts.engines.start(progress)
        await parts.front.start()
        if not parts.engines_first:
            await parts.engines.start(progress)
            await parts.front.caught_up()
        if parts.data_dir is not None:
            data_dirs.write_running(parts.data_dir, Running(self.url, os.getpid(), parts.api_key_file))

    async def serve(self) -> None:
        """Return when the front has ended; raise what the keeper of the engines could not bear."""
        tasks = [task for task in (self._parts.front.running, self._parts.engines.running) if task is not None]
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
            steps.push_async_callback(parts.engines.stop)
            steps.push_async_callback(parts.front.stop)
            if parts.data_dir is not None:
                steps.callback(data_dirs.remove_running, parts.data_dir)
