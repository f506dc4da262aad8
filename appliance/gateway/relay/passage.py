"""One request on its way through the fast path, and the rounds that look after all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive

from appliance.engines.relay_connection import RelayConnection
from appliance.gateway.sse import FIRST_BYTE_S

ROUND_S: Final = 0.05
"""How often passages are looked after: one timer for all of them costs less than four for each."""


@dataclass(slots=True, eq=False)
class Passage:
    """What the rounds have to know. `head_came`: the engine has taken the request on; `begun`: so does the caller.

    `gone` and `late` say why the task was cancelled: its caller left, or its time was up.
    """

    task: asyncio.Task[object]
    receive: Receive
    started_s: float
    deadline_s: float
    streamed: bool
    said_s: float
    connection: RelayConnection | None = None
    head_came: bool = False
    begun: bool = False
    gone: bool = False
    late: bool = False
    over: bool = False
    watching: asyncio.Task[None] | None = None

    def silent(self, now_s: float, keep_alive_s: float) -> bool:
        """Whether something should be said, so that the caller, and whoever stands between, knows that it goes on."""
        if not self.streamed:
            return False
        if self.head_came and not self.begun:
            return now_s - self.started_s >= FIRST_BYTE_S
        return now_s - self.said_s >= keep_alive_s

    def watch(self) -> None:
        """Cancel its task as soon as the caller is gone. The body was read, so there is nothing else to be heard."""
        self.watching = asyncio.get_running_loop().create_task(self._until_gone(), name="caller of a passage")

    async def _until_gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        if not self.over:
            self.gone = True
            self.task.cancel()


class Rounds:
    """Goes round while there is a passage: sees who left, whose time is up, and who was silent for too long.

    A passage that ends within the first round costs no task and no timer of its own. `on_round` is called after each
    round, and once more at the end. `clock` is monotonic seconds.
    """

    def __init__(
        self,
        keep_alive_s: float,
        on_round: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._on_round = on_round
        self.keep_alive_s = keep_alive_s
        self._passages: set[Passage] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def passages(self) -> int:
        """How many are on their way."""
        return len(self._passages)

    def join(self, passage: Passage) -> None:
        """Look after it from now on."""
        self._passages.add(passage)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(ROUND_S, self._go)

    def leave(self, passage: Passage) -> None:
        """It is over."""
        passage.over = True
        if passage.watching is not None:
            passage.watching.cancel()
        self._passages.discard(passage)

    def close(self) -> None:
        """No more rounds."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._on_round()

    def _go(self) -> None:
        now_s = self._clock()
        for passage in tuple(self._passages):
            self._look_after(passage, now_s)
        self._on_round()
        self._timer = asyncio.get_running_loop().call_later(ROUND_S, self._go) if self._passages else None

    def _look_after(self, passage: Passage, now_s: float) -> None:
        if passage.watching is None and not passage.over:
            passage.watch()
        if now_s >= passage.deadline_s and not passage.late and not passage.gone:
            passage.late = True
            passage.task.cancel()
        elif passage.connection is not None and passage.silent(now_s, self.keep_alive_s):
            passage.connection.nudge()
