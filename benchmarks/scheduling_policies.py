"""The orders that the simulation compares, the appliance's own among them, and what each may know of a call."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from appliance.dispatch.attained import Attained
from appliance.dispatch.priority import Place, Waiting, place_of
from benchmarks.scheduling_workload import TOKENS, Call, Request


@dataclass(slots=True, eq=False)
class Doing:
    """A request on its way. `step` counts the calls that a task has ended."""

    request: Request
    held: ExitStack
    step: dict[int, int] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)
    planned: bool = False
    answered_s: float | None = None
    failed: bool = False

    @property
    def calls_left(self) -> int | None:
        """As the coordinator tells it: repairs are not foreseen, and before the plan nobody knows."""
        if not self.planned:
            return None
        return 2 * (len(self.request.tasks) - len(self.finished)) + 1

    def tokens_left(self) -> int:
        """What only a clairvoyant knows."""
        left = sum(call.answer for call in self.request.calls())
        if self.planned:
            left -= self.request.first.answer
        return left - sum(call.answer for n, ended in self.step.items() for call in self.request.tasks[n].calls[:ended])


@dataclass(slots=True, eq=False)
class Ticket:
    """One call in a line or on an engine; `task` is None for the first and the last one of its request."""

    doing: Doing
    call: Call
    task: int | None
    waiting: Waiting
    others: int = 0
    began_s: float = 0.0


def _ours(ticket: Ticket, now_s: float, attained: Attained) -> Place:
    return place_of(_served(ticket, now_s, attained), now_s, attained.call_s)


def _served(ticket: Ticket, now_s: float, attained: Attained) -> Waiting:
    attained_s = attained.attained_s(ticket.waiting.request_id, now_s)
    return replace(ticket.waiting, attained_s=attained_s)


def _least_attained(ticket: Ticket, now_s: float, attained: Attained) -> Place:
    """Nothing is known of any plan or deadline."""
    unknown = replace(_served(ticket, now_s, attained), deadline_s=math.inf, calls_left=None, calls_after=0)
    return place_of(unknown, now_s, attained.call_s)


def _by(key: Callable[[Ticket], float]) -> Callable[[Ticket, float, Attained], Place]:
    return lambda ticket, _now_s, _attained: (False, 0, key(ticket), 0, ticket.waiting.came_s, "")


POLICIES: dict[str, Callable[[Ticket, float, Attained], Place]] = {
    "first come first served": _by(lambda ticket: ticket.waiting.came_s),
    "first request first": _by(lambda ticket: ticket.waiting.arrived_s),
    "shortest expected call": _by(lambda ticket: TOKENS[ticket.call.role][1]),
    "least attained service": _least_attained,
    "appliance": _ours,
    "clairvoyant": _by(lambda ticket: ticket.doing.tokens_left()),
}
"""The last one knows every length beforehand: least work left first, which no scheduler of calls can know."""
