"""The calls that wait for one model, in the order of `priority`, without looking at all of them. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import Generic, TypeVar

from appliance.dispatch.priority import PATIENCE_S, Place

T = TypeVar("T", bound=Hashable)

_DEAD_KEPT = 64
"""Entries of calls that left are dropped when they are more than those of the calls that wait, and this many."""


class Line(Generic[T]):
    """Tickets by place. `place` says where a ticket stands now; as time passes a ticket may only fall back.

    A heap holds the place that each ticket had when it was last looked at, so only the first one is looked at anew.
    """

    def __init__(self, place: Callable[[T, float], Place]) -> None:
        self._place = place
        self._numbers = count()
        self._heap: list[tuple[Place, int, T]] = []
        self._joined: OrderedDict[T, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._joined)

    def __iter__(self) -> Iterator[T]:
        """In the order in which they joined."""
        return iter(self._joined)

    def join(self, ticket: T, now_s: float) -> None:
        """Stand in the line, once."""
        number = next(self._numbers)
        self._joined[ticket] = number, now_s
        heappush(self._heap, (self._place(ticket, now_s), number, ticket))

    def leave(self, ticket: T) -> None:
        """Step out, wherever it stands. Raises KeyError for a ticket that is not in the line."""
        del self._joined[ticket]
        if len(self._heap) > 2 * len(self._joined) + _DEAD_KEPT:
            self._heap = [entry for entry in self._heap if self._stands(entry)]
            heapify(self._heap)

    def first(self, now_s: float) -> T | None:
        """Whose turn it is; None in an empty line."""
        if not self._joined:
            return None
        oldest, (_, came_s) = next(iter(self._joined.items()))
        if len(self._joined) == 1 or now_s - came_s >= PATIENCE_S:
            return oldest
        while True:
            entry = self._heap[0]
            if not self._stands(entry):
                heappop(self._heap)
                continue
            place, number, ticket = entry
            fresh = self._place(ticket, now_s)
            if fresh <= place:
                return ticket
            heapreplace(self._heap, (fresh, number, ticket))

    def _stands(self, entry: tuple[Place, int, T]) -> bool:
        """A ticket that left and joined again has a new number, so its old entry counts no more."""
        _, number, ticket = entry
        return self._joined.get(ticket, (None,))[0] == number
