"""Events from one task to the one reader of an answer: a queue that knows no bounds and no second reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

E = TypeVar("E")


class EventLine(Generic[E]):
    """Events in order. All of it happens on one event loop."""

    __slots__ = ("_ended", "_events", "_reader")

    def __init__(self) -> None:
        self._events: deque[E] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._ended = False

    def put(self, event: E) -> None:
        """One more event."""
        self._events.append(event)
        if self._reader is not None:
            self._wake()

    def end(self) -> None:
        """There are no more."""
        self._ended = True
        self._wake()

    async def read(self) -> AsyncGenerator[E, None]:
        """The events as they come, until the end; one reader at a time."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._ended:
                return
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
