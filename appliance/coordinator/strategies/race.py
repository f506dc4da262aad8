"""Works that run at once, taken as they end; whoever leaves early cancels what still runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Race(Generic[T]):
    """A block in which works are started and taken. At its end none of them runs any more, however it ends."""

    def __init__(self) -> None:
        self._running: list[asyncio.Task[T]] = []

    @property
    def running(self) -> int:
        """Works that were started and not taken yet."""
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, T]) -> None:
        """Run one more."""
        self._running.append(asyncio.create_task(work))

    async def one_ends(self, timeout_s: float | None) -> bool:
        """Wait until one has ended that was not taken yet; False when `timeout_s` was too short for that."""
        ended, _ = await asyncio.wait(self._running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(ended)

    async def next(self) -> T:
        """What the first to end came to, the one started earlier where several ended; raises what it raised."""
        await self.one_ends(None)
        first = next(task for task in self._running if task.done())
        self._running.remove(first)
        return first.result()

    async def __aenter__(self) -> Race[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()
