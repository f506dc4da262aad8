"""The calls that wait for one model, as a line for each tenant: whose turn it is goes by share, then by priority."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from appliance.dispatch.fair_share import FairShare
from appliance.dispatch.line import Line
from appliance.dispatch.priority import PATIENCE_S, Place

T = TypeVar("T", bound=Hashable)


class FairLine(Generic[T]):
    """Tickets by tenant. With one tenant it is an ordinary line. `came_s` tells when a ticket joined.

    1. Who has waited for PATIENCE_S goes before all others, the longest wait first.
    2. A tenant whose first call can still meet its deadline goes before one whose first can't.
    3. The tenant that has had least for its weight; then by priority.
    """

    def __init__(self, place: Callable[[T, float], Place], shares: FairShare) -> None:
        self._place = place
        self._shares = shares
        self._lines: dict[str, Line[T]] = {}
        self._tenants: dict[T, str] = {}
        self._joined_s: dict[T, float] = {}

    def __len__(self) -> int:
        return len(self._tenants)

    def __iter__(self) -> Iterator[T]:
        """In the order in which they joined."""
        return iter(self._tenants)

    def join(self, ticket: T, tenant: str, now_s: float) -> None:
        """Stand in the line, once."""
        self._lines.setdefault(tenant, Line(self._place)).join(ticket, now_s)
        self._tenants[ticket] = tenant
        self._joined_s[ticket] = now_s

    def leave(self, ticket: T) -> None:
        """Step out, wherever it stands. Raises KeyError for a ticket that is not in the line."""
        tenant = self._tenants.pop(ticket)
        del self._joined_s[ticket]
        line = self._lines[tenant]
        line.leave(ticket)
        if not len(line):
            del self._lines[tenant]

    def first(self, now_s: float) -> T | None:
        """Whose turn it is; None in an empty line."""
        if not self._tenants:
            return None
        if len(self._lines) == 1:
            return next(iter(self._lines.values())).first(now_s)
        oldest = next(iter(self._tenants))
        if now_s - self._joined_s[oldest] >= PATIENCE_S:
            return oldest
        firsts = [(tenant, ticket) for tenant, line in self._lines.items() if (ticket := line.first(now_s)) is not None]
        return min(firsts, key=lambda each: self._rank(each[0], each[1], now_s))[1]

    def of_tenants(self) -> dict[str, int]:
        """Tenant → calls that wait."""
        return {tenant: len(line) for tenant, line in self._lines.items()}

    def _rank(self, tenant: str, ticket: T, now_s: float) -> tuple[bool, float, Place]:
        place = self._place(ticket, now_s)
        return place[0], self._shares.rank(tenant), place
