"""Whose turn it is among tenants that wait, by the service that each has had for its weight. Pure.

Start-time fair queueing: each tenant has a virtual time that grows with the seconds that engines spend on its calls,
divided by its weight; the one that is furthest behind goes next. A call counts with its expected seconds while it runs
and with its true ones afterwards. Who comes back after a pause starts where the others are, so that idling saves
nothing up.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class _Account:
    weight: float
    had_s: float = 0.0
    """Virtual seconds."""
    expected_s: float = 0.0
    """Of the calls that run, divided by the weight."""
    busy: int = 0
    """Calls that wait or run."""


@dataclass(slots=True)
class FairShare:
    """The tenants that wait or have something running; others are forgotten."""

    _accounts: dict[str, _Account] = field(default_factory=dict)

    def come(self, tenant: str, weight: float) -> None:
        """A call of the tenant begins to wait."""
        account = self._accounts.get(tenant)
        if account is None:
            behind = min((self.rank(other) for other in self._accounts), default=0.0)
            account = self._accounts[tenant] = _Account(weight, behind)
        account.weight = weight
        account.busy += 1

    def go(self, tenant: str) -> None:
        """A call neither waits nor runs any more."""
        account = self._accounts[tenant]
        account.busy -= 1
        if not account.busy:
            del self._accounts[tenant]

    def begin(self, tenant: str, expected_s: float) -> float:
        """A call that waited is served; returns what `end` has to be told."""
        account = self._accounts[tenant]
        expected = expected_s / account.weight
        account.expected_s += expected
        return expected

    def end(self, tenant: str, expected: float, took_s: float) -> None:
        """A call has left its engine."""
        account = self._accounts[tenant]
        account.expected_s -= expected
        account.had_s += took_s / account.weight

    def rank(self, tenant: str) -> float:
        """Its virtual time: the smaller one goes first. 0 for who is not there."""
        account = self._accounts.get(tenant)
        return 0.0 if account is None else account.had_s + account.expected_s

    def part(self, tenant: str, waiting: dict[str, int]) -> float:
        """The part of an engine that is the tenant's, against all who wait there."""
        mine = self._accounts[tenant].weight
        total = sum(self._accounts[other].weight for other, many in waiting.items() if many and other != tenant)
        return mine / (mine + total)
