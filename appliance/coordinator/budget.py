"""What one request may spend and has spent: calls, tokens, wall time. Pure: `now_s` is an argument.

Every call reserves its prompt and its longest answer before it is sent and settles what it used afterwards, so the
limits can be passed by an estimate's error only, never by calls that race each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.coordinator.options import BudgetLimits
from appliance.domain.model import Role
from appliance.domain.trace import BudgetRecord
from appliance.errors import BudgetExhausted

TEAM_SHARE = 0.75
"""Of the wall time, for planner, executors, verifier and synthesizer: the rest stays for a fallback to one model."""

OPTIONAL_SHARE = 0.5
"""Of the team's time that is left, for a call that the answer can do without."""


@dataclass(frozen=True, slots=True)
class Need:
    """Calls and tokens that must stay free for what has to come."""

    calls: int = 0
    tokens: int = 0


NOTHING = Need()


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens held for one call until it is settled."""

    tokens: int


@dataclass(slots=True)
class Budget:
    """The account of one request. `started_s` and every `now_s` are on the same monotonic clock."""

    limits: BudgetLimits
    started_s: float
    used_calls: int = 0
    used_tokens: int = 0
    reserved_tokens: int = 0
    stopped_by: str | None = None

    @property
    def deadline_s(self) -> float:
        """The moment at which the wall time is used up."""
        return self.started_s + self.limits.wall_s

    @property
    def remaining_tokens(self) -> int:
        """Tokens neither used nor reserved."""
        return max(0, self.limits.tokens - self.used_tokens - self.reserved_tokens)

    def deadline_of(self, role: Role, now_s: float, *, optional: bool = False) -> float:
        """When a call of `role` that begins now has to end, so that a hung one leaves time for what comes after it."""
        if role is Role.GENERALIST:
            return self.deadline_s
        team_s = self.started_s + TEAM_SHARE * self.limits.wall_s
        return now_s + OPTIONAL_SHARE * (team_s - now_s) if optional else team_s

    def reserve(self, tokens: int, now_s: float, deadline_s: float, keep: Need = NOTHING) -> Reservation:
        """Take one call of at most `tokens`; BudgetExhausted past its deadline or when it leaves less than `keep`."""
        if now_s >= deadline_s:
            raise self.exhausted("wall_s")
        if self.used_calls + 1 + keep.calls > self.limits.calls:
            raise self.exhausted("calls")
        if tokens + keep.tokens > self.limits.tokens - self.used_tokens - self.reserved_tokens:
            raise self.exhausted("tokens")
        self.used_calls += 1
        self.reserved_tokens += tokens
        return Reservation(tokens)

    def settle(self, reservation: Reservation, tokens: int, *, sent: bool = True) -> None:
        """Give back what was reserved and book what was used; a call that was never sent does not count."""
        self.reserved_tokens -= reservation.tokens
        self.used_tokens += tokens
        if not sent:
            self.used_calls -= 1

    def exhausted(self, limit: str) -> BudgetExhausted:
        """The error for a limit that was reached; the first one is remembered."""
        self.stopped_by = self.stopped_by or limit
        allowed = {"calls": self.limits.calls, "tokens": self.limits.tokens, "wall_s": self.limits.wall_s}.get(limit)
        return BudgetExhausted(
            f"the request's budget is used up ({limit}: {allowed}); ask less at once, or raise "
            f"coordinator.budget.{limit}",
            limit=limit,
        )

    def record(self, now_s: float) -> BudgetRecord:
        """The account, for the trace."""
        return BudgetRecord(
            limit_calls=self.limits.calls,
            limit_tokens=self.limits.tokens,
            limit_wall_s=self.limits.wall_s,
            used_calls=self.used_calls,
            used_tokens=self.used_tokens,
            used_wall_s=now_s - self.started_s,
            stopped_by=self.stopped_by,
        )
