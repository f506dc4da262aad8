"""Several processes that answer requests at one port, kept running by a main process that answers none itself.

Each worker listens there with a socket of its own (SO_REUSEPORT), and the kernel divides connections among them. With
one inherited socket for all, a burst of connections goes to whoever wakes up first: the busiest of four workers got 2
times its share, against 1.25 (`benchmarks/worker_sockets.py`). A worker listens when it knows the engines, so one that
dies leaves the others alone.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import structlog

from appliance.bootstrap.ending import ended
from appliance.bootstrap.server import HttpServer
from appliance.bootstrap.worker_board import WorkerBoard
from appliance.errors import NotRunning
from appliance.packs.door import Door

START_S = 120.0
"""A worker that was not heard of after so long has failed to start."""
GRACE_S = 10.0
"""A worker may take so long beyond its answers in flight to end, before it is killed."""
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 10.0

_log = structlog.get_logger(__name__)


def restart_after_s(failures: int) -> float:
    """How long to wait before another start, after so many that came to nothing in a row. The first is at once."""
    return 0.0 if failures < 1 else min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(failures - 1, 10))


@dataclass(frozen=True, slots=True)
class PoolParts:
    """What a pool is made of. `message` is what a worker is told, by its number and the door's URL.

    The door is the main process' own, on loopback, for workers only.
    """

    url: str
    workers: int
    message: Callable[[int, str], bytes]
    board: WorkerBoard
    door: Door
    door_server: HttpServer
    drain_timeout_s: float


class WorkerPool:
    """A front of processes: `start` once, then `stop`; `stop` is right without a start, too."""

    def __init__(self, parts: PoolParts) -> None:
        self._parts = parts
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._door: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        """Where all of them listen."""
        return self._parts.url

    @property
    def running(self) -> asyncio.Task[None] | None:
        """They are restarted for ever: it ends by a mistake of ours only."""
        return self._keeping

    async def start(self) -> None:
        """Return when every worker answers. Raises NotRunning where one of them does not come up."""
        parts = self._parts
        self._door = [
            asyncio.create_task(parts.door_server.serve(), name="workers' door"),
            asyncio.create_task(parts.door.run(), name="workers' door's look"),
        ]
        await asyncio.gather(*(self._spawn(number) for number in range(parts.workers)))
        await asyncio.gather(*(self._first_beat(number) for number in range(parts.workers)))
        self._keeping = asyncio.create_task(self._keep_all(), name="workers")

    async def caught_up(self) -> None:
        """Return when every worker goes by the engines as they are now, or after a while."""
        await self._parts.door.taken_in()

    async def stop(self) -> None:
        """Let answers in flight end for a while; no worker is left on return."""
        async with AsyncExitStack() as steps:  # from the last one upwards
            for task in self._door[1:]:
                steps.push_async_callback(ended, task)
            steps.push_async_callback(self._close_door)
            steps.push_async_callback(self._end_all)
            steps.push_async_callback(ended, self._keeping)

    async def _close_door(self) -> None:
        self._parts.door_server.stop()
        for task in self._door[:1]:
            await task

    async def _keep_all(self) -> None:
        await asyncio.gather(*(self._keep(number) for number in range(self._parts.workers)))

    async def _keep(self, number: int) -> None:
        """Restart a worker whenever it ends."""
        failures = 0
        while True:
            code = await self._processes[number].wait()
            was_heard = self._parts.board.first_beat(number).is_set()
            self._parts.board.ended(number)
            failures = 0 if was_heard else failures + 1
            wait_s = restart_after_s(failures)
            _log.warning("a worker has ended", worker=number, code=code, starts_again_after_s=wait_s)
            await asyncio.sleep(wait_s)
            await self._spawn(number)
            with suppress(NotRunning):
                await self._first_beat(number)

    async def _spawn(self, number: int) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "appliance", "worker"),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._processes[number] = process
        assert process.stdin is not None
        process.stdin.write(self._parts.message(number, self._parts.door_server.url))
        with suppress(ConnectionError):  # it has ended already, which is seen elsewhere
            await process.stdin.drain()

    async def _first_beat(self, number: int) -> None:
        process = self._processes[number]
        heard = asyncio.ensure_future(self._parts.board.first_beat(number).wait())
        gone = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({heard, gone}, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
            if heard.done():
                return
            if not gone.done():
                process.kill()
                raise NotRunning(f"worker {number} was not ready within {START_S:g} s; see its log")
            raise NotRunning(f"worker {number} ended with exit code {gone.result()} before it was ready; see its log")
        finally:
            for task in (heard, gone):
                task.cancel()
            await asyncio.gather(heard, gone, return_exceptions=True)

    async def _end_all(self) -> None:
        alive = [process for process in self._processes.values() if process.returncode is None]
        try:
            for process in alive:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(self._parts.drain_timeout_s + GRACE_S):
                await asyncio.gather(*(process.wait() for process in alive))
        except (TimeoutError, asyncio.CancelledError) as hurried:
            for process in alive:
                if process.returncode is None:
                    process.kill()
            await asyncio.gather(*(process.wait() for process in alive))
            if isinstance(hurried, asyncio.CancelledError):
                raise
        finally:
            for process in self._processes.values():
                if process.stdin is not None:
                    process.stdin.close()
