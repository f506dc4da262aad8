"""The lines of waiting calls, one for each model: who stands there, who is first, and waking whoever's turn it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, inf
from typing import Final

from appliance.dispatch.attained import Attained
from appliance.dispatch.fair_line import FairLine
from appliance.dispatch.fair_share import FairShare
from appliance.dispatch.priority import Place, Waiting, level_of, place_of
from appliance.domain.request import CallContext

LONGEST_PROMISE_S: Final = 300.0
"""Nobody is told to come again later than this, however many were refused."""
_PROMISES: Final = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A call in its model's line; `waiting` as it was when it joined."""

    waiting: Waiting
    tenant: str
    turn: asyncio.Event = field(default_factory=asyncio.Event)

    async def called(self, at_most_s: float) -> None:
        """Wait until somebody wakes it, or so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.turn.wait(), at_most_s)
        self.turn.clear()


class Lines:
    """All lines. `attained` has an account for each request whose calls join; `clock` is monotonic, in seconds.

    `weight_of` a policy is the share of its tenants where several of them wait.
    """

    def __init__(
        self, attained: Attained, clock: Callable[[], float], weight_of: Callable[[str], float] = lambda _policy: 1.0
    ) -> None:
        self._attained = attained
        self._clock = clock
        self._weight_of = weight_of
        self._shares = FairShare()
        self._lines: dict[str, FairLine[Ticket]] = {}
        self._promised_s: dict[tuple[str, str], float] = {}

    @property
    def waiting(self) -> Mapping[str, int]:
        """Model id → calls that wait."""
        return {model_id: len(line) for model_id, line in self._lines.items()}

    def waiting_for(self, model_id: str) -> int:
        """Calls that wait for a model."""
        line = self._lines.get(model_id)
        return 0 if line is None else len(line)

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
    def joined(self, model_id: str, ctx: CallContext) -> Iterator[tuple[FairLine[Ticket], Ticket]]:
        """Stand in the model's line; whoever leaves it wakes the next one."""
        line = self._lines.setdefault(model_id, FairLine(self._place, self._shares))
        ticket = Ticket(self._waiting(ctx, self._clock()), ctx.tenant)
        self._shares.come(ctx.tenant, self._weight_of(ctx.policy))
        line.join(ticket, ctx.tenant, ticket.waiting.came_s)
        try:
            yield line, ticket
        finally:
            line.leave(ticket)
            self._shares.go(ctx.tenant)
            self.wake(model_id)

    def serve(self, ctx: CallContext) -> float:
        """Count a call of a tenant that goes to an engine; returns what `served` has to be told."""
        self._shares.come(ctx.tenant, self._weight_of(ctx.policy))
        return self._shares.begin(ctx.tenant, self._attained.call_s)

    def served(self, ctx: CallContext, expected: float, began_s: float) -> None:
        """The call has left its engine."""
        self._shares.end(ctx.tenant, expected, self._clock() - began_s)
        self._shares.go(ctx.tenant)

    def crowd(self, line: FairLine[Ticket], tenant: str) -> tuple[int, float]:
        """Calls that stand in a line as its tenants' shares make it look to one of them, and that tenant's share.

        Nobody who waits with less than its share is turned away because others wait with more than theirs.
        """
        waiting = line.of_tenants()
        part = self._shares.part(tenant, waiting)
        return min(len(line), ceil(waiting.get(tenant, 0) / part)), part

    def promised_after_s(self, model_id: str, ctx: CallContext, after_s: float, pace_s: float) -> float:
        """When a refused call may come again: after `after_s`, and `pace_s` later than the one that was refused before.

        So those who are refused at once don't come again at once.
        """
        now_s, of = self._clock(), (model_id, ctx.tenant)
        at_s = max(now_s + after_s, self._promised_s.get(of, -inf) + pace_s)
        if len(self._promised_s) >= _PROMISES:
            self._promised_s = {of: at_s for of, at_s in self._promised_s.items() if at_s > now_s}
        self._promised_s[of] = min(at_s, now_s + LONGEST_PROMISE_S)
        return self._promised_s[of] - now_s

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
