"""A worker's way to its main process: the fleet from there, beats to there, the metrics of all workers back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.ending import ended
from appliance.bootstrap.worker_board import BEAT, Beat
from appliance.packs.follower import PackFollower
from appliance.supervisor.supervisor import Progress

BEAT_S = 1.0
"""What a worker counted in the last so many seconds is lost when it is killed."""
LIMIT_S = 2.0


class MainProcess:
    """HTTP to the main process' door. `own` is this worker's exposition."""

    def __init__(self, door: str, key: str, number: int) -> None:
        self._url = f"{door}/workers/{number}"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._session: aiohttp.ClientSession | None = None

    async def beat(self, beat: Beat) -> bool:
        """Tell it; whether it was heard."""
        return await self._post(self._url, beat) is not None

    async def total(self, own: bytes) -> bytes:
        """The metrics of all workers; this worker's own where the main process does not answer."""
        answer = await self._post(f"{self._url}?total=1", Beat(own.decode()))
        return own if answer is None else answer

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, url: str, beat: Beat) -> bytes | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, trust_env=False)
        try:
            async with asyncio.timeout(LIMIT_S), self._session.post(url, data=BEAT.dump_json(beat)) as response:
                return await response.read() if response.status < 300 else None
        except (TimeoutError, aiohttp.ClientError):
            return None


class WorkerLink:
    """The engines of a worker: those of its main process, which hears of it every `BEAT_S`."""

    def __init__(
        self, follower: PackFollower, door: str, main: MainProcess, own: Callable[[], bytes], tally: DemandTally
    ) -> None:
        self._follower = follower
        self._door = door
        self._main = main
        self._own = own
        self._tally = tally
        self._beating: asyncio.Task[None] | None = None

    @property
    def running(self) -> asyncio.Task[None] | None:
        """It beats until it is cancelled."""
        return self._beating

    async def start(self, progress: Progress | None = None) -> None:
        """Return when the fleet is known."""
        del progress  # engines are started by the main process
        self._follower.follow({self._door})
        await self._follower.asked_all(LIMIT_S)
        self._beating = asyncio.create_task(self._beat(), name="beat")

    async def stop(self) -> None:
        """A last beat, so that nothing that was counted is lost."""
        await ended(self._beating)
        await self._once()
        await self._main.close()
        await self._follower.close()

    async def _beat(self) -> None:
        while True:
            await self._once()
            await asyncio.sleep(BEAT_S)

    async def _once(self) -> None:
        asked = self._tally.take()
        if not await self._main.beat(Beat(self._own().decode(), asked)):
            self._tally.add(asked)
