"""Sends a load and notes when what came back.

Open phases send at times fixed beforehand, and latencies count from the time at which a request was due: a server that
stops for a while, or a generator that is late, is charged for every request that was due meanwhile (no coordinated
omission). How late the generator itself was stands in each record.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from appliance.bench.connection import Connection, Target
from appliance.bench.dialogue import ClosedPhase, Dialogue, Dialogues, Message, Phase
from appliance.bench.exchange import Exchange
from appliance.bench.recording import Place, recorded
from appliance.bench.records import RequestRecord
from appliance.bench.timer import Timer

KEPT_S: Final = 2.0
"""A connection that was idle for longer is not used again: servers close them after five seconds."""
LOOK_S: Final = 0.25
"""How often progress is told, and who waits for too long is looked for."""


CLOSED_NUMBERS: Final = 10_000_000
"""So many dialogues are set aside for a closed phase, of which nobody knows beforehand how many it takes."""
RESERVE: Final = 10_000
"""So many requests are made before the run begins; each that is sent then makes room for one more."""
AT_ONCE: Final = 32
"""So many requests at most are sent without a look at what has arrived."""
FAILED_PAUSE_S: Final = 0.1
"""A caller of a closed phase who got no answer begins again after this long at the earliest."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of a load one of several processes sends: number `part` of `parts`."""

    part: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """When a request, and when the run, has taken too long; seconds. `grace_s`: for what is under way at the end."""

    request_s: float = 600.0
    grace_s: float = 60.0


@dataclass(slots=True)
class Progress:
    """Counts so far."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    tokens: int = 0

    @property
    def in_flight(self) -> int:
        """Sent, and not over."""
        return self.sent - self.answered - self.failed


@dataclass(slots=True)
class _Going:
    """A dialogue on its way."""

    index: int
    phase: Phase
    dialogue: Dialogue
    step: int
    """Distance to the next number of a dialogue, for callers who begin another one."""
    turn: int = 0
    messages: list[Message] = field(default_factory=list)
    request_id: str = ""


class Driver:
    """One load on one event loop; `run` once."""

    def __init__(
        self,
        target: Target,
        phases: Sequence[Phase],
        dialogues: Dialogues,
        *,
        run_id: str = "bench",
        share: Share | None = None,
        limits: Limits | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._target, self._dialogues, self._run_id = target, dialogues, run_id
        self._limits, self._on_progress = limits or Limits(), on_progress
        self._agenda: list[tuple[float, int, _Going, bytes]] = []
        self._idle: list[Connection] = []
        self._under_way: dict[Exchange, tuple[_Going, Connection | None]] = {}
        self._over: list[tuple[_Going, Exchange]] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self._last_s = max((phase.ends_s for phase in phases), default=0.0)
        self._stopped = ""
        self.progress = Progress()
        self._coming = _dealt(phases, dialogues, share or Share())
        for due_s, going in islice(self._coming, RESERVE):
            self._plan(due_s, going)

    async def run(self, begins_s: float | None = None) -> tuple[RequestRecord, ...]:
        """Send everything; `begins_s` is on the monotonic clock, by default at once. Records in order of due times."""
        self._loop, self._context = asyncio.get_running_loop(), self._target.context()
        self._begins_s = time.monotonic() + 0.01 if begins_s is None else begins_s
        self._done = self._loop.create_future()
        with Timer(self._loop, self._send_due) as self._timer:
            self._wait_for_next()
            watching = self._loop.create_task(self._watch())
            try:
                await self._done
            finally:
                watching.cancel()
                for connection in self._idle:
                    connection.close()
        if self._on_progress is not None:
            self._on_progress(self.progress)
        return tuple(sorted((self._record(*one) for one in self._over), key=lambda record: record.due_s))

    def stop(self, reason: str) -> None:
        """Send nothing more, and break off what is under way."""
        self._stopped = self._stopped or reason
        self._coming = iter(())
        self._agenda.clear()
        for exchange, (_, connection) in list(self._under_way.items()):
            if connection is not None:
                connection.close(reason)
            elif exchange in self._under_way:
                self._over_with(exchange, reason)
        self._end_if_done()

    def _plan(self, due_s: float, going: _Going) -> None:
        """Everything that takes time is done here, before the request is due."""
        going.messages += going.dialogue.turns[going.turn]
        going.request_id = f"{self._run_id}-{going.index}-{going.turn}"
        request = self._target.request(going.request_id, going.dialogue.body(going.messages))
        heapq.heappush(self._agenda, (due_s, going.index, going, request))

    def _wait_for_next(self) -> None:
        if self._agenda:
            self._timer.set(self._begins_s + self._agenda[0][0])
        else:
            self._end_if_done()

    def _send_due(self) -> None:
        """All that is due, in portions: between them the loop reads what has arrived."""
        now_s = time.monotonic()
        for _ in range(AT_ONCE):
            if not self._agenda or self._begins_s + self._agenda[0][0] > now_s:
                break
            due_s, _, going, request = heapq.heappop(self._agenda)
            several_turns = going.turn + 1 < len(going.dialogue.turns)
            exchange = Exchange(self._begins_s + due_s, now_s, streamed=going.dialogue.stream, keep_text=several_turns)
            self.progress.sent += 1
            self._send(exchange, going, request)
            for following in islice(self._coming, 1):
                self._plan(*following)
            now_s = time.monotonic()
        self._wait_for_next()

    def _send(self, exchange: Exchange, going: _Going, request: bytes) -> None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and exchange.begun_s - connection.idle_since_s < KEPT_S:
                self._under_way[exchange] = going, connection
                connection.send(exchange, request)
                return
            connection.close()
        self._under_way[exchange] = going, None
        task = self._loop.create_task(self._connect(exchange, request))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, exchange: Exchange, request: bytes) -> None:
        host, port = self._target.place
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._ended), host, port, ssl=self._context
            )
        except OSError as error:
            if exchange in self._under_way:
                self._over_with(exchange, f"no connection: {error.strerror or error}")
            return
        if exchange not in self._under_way:  # broken off meanwhile
            connection.close()
        elif not connection.usable:
            self._over_with(exchange, "the connection was closed before anything was asked")
        else:
            self._under_way[exchange] = self._under_way[exchange][0], connection
            connection.send(exchange, request)

    def _over_with(self, exchange: Exchange, failure: str) -> None:
        exchange.end(time.monotonic(), failure)
        self._ended(None, exchange)

    def _ended(self, connection: Connection | None, exchange: Exchange) -> None:
        going, _ = self._under_way.pop(exchange)
        self._over.append((going, exchange))
        if connection is not None and exchange.whole and connection.usable:
            self._idle.append(connection)
        good = not exchange.error()
        self.progress.answered += good
        self.progress.failed += not good
        self.progress.tokens += len(exchange.chunk_s)
        if not self._stopped and (following := self._following(going, exchange, good=good)):
            first = self._agenda[0][0] if self._agenda else float("inf")
            self._plan(*following)
            if self._agenda[0][0] < first:
                self._wait_for_next()
        self._end_if_done()

    def _following(self, going: _Going, exchange: Exchange, *, good: bool) -> tuple[float, _Going] | None:
        """The next turn; else the same caller's next dialogue."""
        ended_s = exchange.ended_s - self._begins_s
        dialogue, phase = going.dialogue, going.phase
        if good and going.turn + 1 < len(dialogue.turns):
            messages = [*going.messages, {"role": "assistant", "content": exchange.text()}]
            following = _Going(going.index, phase, dialogue, going.step, going.turn + 1, messages)
            return ended_s + dialogue.think_s, following
        if not isinstance(phase, ClosedPhase):
            return None
        due_s = ended_s + (phase.think_s if good else max(phase.think_s, FAILED_PAUSE_S))
        if due_s >= phase.ends_s:
            return None
        index = going.index + going.step
        return due_s, _Going(index, phase, self._dialogues.dialogue(index), going.step)

    def _end_if_done(self) -> None:
        if not self._agenda and not self._under_way and not self._done.done():
            self._done.set_result(None)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = time.monotonic()
            too_late = [e for e in self._under_way if now_s - e.begun_s > self._limits.request_s]
            for exchange in too_late:
                connection = self._under_way[exchange][1]
                failure = f"no whole answer within {self._limits.request_s:g} s"
                if connection is None:
                    self._over_with(exchange, failure)
                else:
                    connection.close(failure)
            if now_s - self._begins_s > self._last_s + self._limits.grace_s:
                self.stop(f"not over {self._limits.grace_s:g} s after the end of the load")
            if self._on_progress is not None:
                self._on_progress(self.progress)

    def _record(self, going: _Going, exchange: Exchange) -> RequestRecord:
        place = Place(going.index, going.turn, going.phase.name, going.request_id)
        return recorded(exchange, going.dialogue, place, self._begins_s)


def _dealt(phases: Sequence[Phase], dialogues: Dialogues, share: Share) -> Iterator[tuple[float, _Going]]:
    """This share's dialogues with their times. Numbers go on from phase to phase; no two callers have the same."""
    number = 0
    for phase in phases:
        if isinstance(phase, ClosedPhase):
            for user in range(share.part, phase.users, share.parts):
                index = number + user
                yield phase.begins_s, _Going(index, phase, dialogues.dialogue(index), phase.users)
            number += CLOSED_NUMBERS
        else:
            for at, due_s in enumerate(phase.dues_s):
                if at % share.parts == share.part:
                    yield phase.begins_s + due_s, _Going(number + at, phase, dialogues.dialogue(number + at), 0)
            number += len(phase.dues_s)


async def drive(
    target: Target,
    phases: Sequence[Phase],
    dialogues: Dialogues,
    *,
    run_id: str = "bench",
    limits: Limits | None = None,
) -> tuple[RequestRecord, ...]:
    """Put a load on a server, in this process, and wait for its end."""
    return await Driver(target, phases, dialogues, run_id=run_id, limits=limits).run()
