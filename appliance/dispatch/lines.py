"""The lines of waiting calls, one for each model: who stands there, who is first, and waking whoever's turn it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from appliance.dispatch.attained import Attained
from appliance.dispatch.line import Line
from appliance.dispatch.priority import Place, Waiting, level_of, place_of
from appliance.domain.request import CallContext


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A call in its model's line; `waiting` as it was when it joined."""

    waiting: Waiting
    turn: asyncio.Event = field(default_factory=asyncio.Event)

    async def called(self, at_most_s: float) -> None:
        """Wait until somebody wakes it, or so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.turn.wait(), at_most_s)
        self.turn.clear()


class Lines:
    """All lines. `attained` has an account for each request whose calls join; `clock` is monotonic, in seconds."""

    def __init__(self, attained: Attained, clock: Callable[[], float]) -> None:
        self._attained = attained
        self._clock = clock
        self._lines: dict[str, Line[Ticket]] = {}

    @property
    def waiting(self) -> Mapping[str, int]:
        """Model id → calls that wait."""
        return {model_id: len(line) for model_id, line in self._lines.items()}

    def stands(self, model_id: str) -> bool:
        """Whether anybody waits for a model."""
        line = self._lines.get(model_id)
        return line is not None and len(line) > 0

    def levels(self) -> Mapping[tuple[str, int], int]:
        """Model id and level of the request as it joined → calls that wait."""
        call_s = self._attained.call_s
        return Counter(
            (name, level_of(ticket.waiting, call_s)) for name, line in self._lines.items() for ticket in line
        )

    def longest_waits_s(self) -> Mapping[str, float]:
        """Model id → how long the call has waited that waits longest."""
        now_s = self._clock()
        return {model_id: now_s - next(iter(line)).waiting.came_s for model_id, line in self._lines.items()}

    @contextlib.contextmanager
    def joined(self, model_id: str, ctx: CallContext) -> Iterator[tuple[Line[Ticket], Ticket]]:
        """Stand in the model's line; whoever leaves it wakes the next one."""
        line = self._lines.setdefault(model_id, Line(self._place))
        ticket = Ticket(self._waiting(ctx, self._clock()))
        line.join(ticket, ticket.waiting.came_s)
        try:
            yield line, ticket
        finally:
            line.leave(ticket)
            self.wake(model_id)

    def wake(self, model_id: str) -> None:
        """Let the first of a line look whether it may go. A line where nobody stands is forgotten."""
        line = self._lines.get(model_id)
        if line is None:
            return
        ticket = line.first(self._clock())
        if ticket is not None:
            ticket.turn.set()
        else:
            del self._lines[model_id]

    def _waiting(self, ctx: CallContext, now_s: float) -> Waiting:
        return Waiting(
            request_id=ctx.request_id,
            arrived_s=self._attained.arrived_s(ctx.request_id),
            came_s=now_s,
            deadline_s=ctx.deadline_s,
            attained_s=self._attained.attained_s(ctx.request_id, now_s),
            calls_left=ctx.calls_left,
            calls_after=ctx.calls_after,
        )

    def _place(self, ticket: Ticket, now_s: float) -> Place:
        """Where a call stands now: its request may have had more service since it joined."""
        attained_s = self._attained.attained_s(ticket.waiting.request_id, now_s)
        return place_of(replace(ticket.waiting, attained_s=attained_s), now_s, self._attained.call_s)
