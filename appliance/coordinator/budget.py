"""What one request may spend and has spent: calls, tokens, GPU-seconds, wall time. Pure: `now_s` is an argument.

Every call reserves its prompt and its longest answer before it is sent and settles what it used afterwards, so the
limits can be passed by an estimate's error only, never by calls that race each other. Device-seconds are reserved as
far as they can be foreseen and metered while the call runs: it is stopped within a few tokens of the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from appliance.coordinator.options import BudgetLimits
from appliance.domain.model import Role
from appliance.domain.trace import BudgetRecord
from appliance.errors import BudgetExhausted

TEAM_SHARE = 0.75
"""Of wall time and GPU-seconds, for planner, executors, verifier and synthesizer: the rest stays for a fallback."""

OPTIONAL_SHARE = 0.5
"""Of the team's time that is left, for a call that the answer can do without."""


@dataclass(frozen=True, slots=True)
class Need:
    """Calls and tokens that must stay free for what has to come."""

    calls: int = 0
    tokens: int = 0


NOTHING = Need()


@dataclass(slots=True, eq=False)
class Reservation:
    """Tokens and device-seconds held for one call until it is settled, and the device-seconds that it has used.

    `gpu_limit_s`: what the request as a whole may have used while this call runs.
    """

    tokens: int
    gpu_s: float = 0.0
    gpu_limit_s: float = inf
    used_gpu_s: float = 0.0


@dataclass(slots=True)
class Budget:
    """The account of one request. `started_s` and every `now_s` are on the same monotonic clock."""

    limits: BudgetLimits
    started_s: float
    used_calls: int = 0
    used_tokens: int = 0
    reserved_tokens: int = 0
    used_gpu_s: float = 0.0
    reserved_gpu_s: float = 0.0
    stopped_by: str | None = None

    @property
    def deadline_s(self) -> float:
        """The moment at which the wall time is used up."""
        return self.started_s + self.limits.wall_s

    @property
    def remaining_tokens(self) -> int:
        """Tokens neither used nor reserved."""
        left = self.limits.tokens - self.used_tokens - self.reserved_tokens
        return left if left > 0 else 0

    def deadline_of(self, role: Role, now_s: float, *, optional: bool = False) -> float:
        """When a call of `role` that begins now has to end, so that a hung one leaves time for what comes after it."""
        if role is Role.GENERALIST and not optional:
            return self.deadline_s
        team_s = self.started_s + TEAM_SHARE * self.limits.wall_s
        return now_s + OPTIONAL_SHARE * (team_s - now_s) if optional else team_s

    def gpu_limit_of(self, role: Role, *, optional: bool = False) -> float:
        """Device-seconds that the request may have used while a call of `role` runs."""
        if self.limits.gpu_s is None:
            return inf
        return self.limits.gpu_s * (1.0 if role is Role.GENERALIST and not optional else TEAM_SHARE)

    def reserve(
        self,
        tokens: int,
        now_s: float,
        deadline_s: float,
        keep: Need = NOTHING,
        *,
        gpu_s: float = 0.0,
        gpu_limit_s: float = inf,
    ) -> Reservation:
        """Take one call of at most `tokens` and about `gpu_s`.

        BudgetExhausted past its deadline, or when it leaves less than `keep` or passes `gpu_limit_s`.
        """
        if now_s >= deadline_s:
            raise self.exhausted("wall_s")
        if self.used_calls + 1 + keep.calls > self.limits.calls:
            raise self.exhausted("calls")
        if tokens + keep.tokens > self.limits.tokens - self.used_tokens - self.reserved_tokens:
            raise self.exhausted("tokens")
        booked_s = self.used_gpu_s + self.reserved_gpu_s
        if booked_s + gpu_s > gpu_limit_s or self.used_gpu_s >= gpu_limit_s:
            raise self.exhausted("gpu_s")
        self.used_calls += 1
        self.reserved_tokens += tokens
        self.reserved_gpu_s += gpu_s
        return Reservation(tokens, gpu_s, gpu_limit_s)

    def meter(self, reservation: Reservation, gpu_s: float) -> None:
        """A call that runs has used `gpu_s` so far. Raises BudgetExhausted when the request has used too much."""
        self._book(reservation, gpu_s)
        if self.used_gpu_s > reservation.gpu_limit_s:
            raise self.exhausted("gpu_s")

    def settle(self, reservation: Reservation, tokens: int, gpu_s: float = 0.0, *, sent: bool = True) -> None:
        """Give back what was reserved and book what was used; a call that was never sent does not count."""
        self._book(reservation, gpu_s)
        self.reserved_tokens -= reservation.tokens
        self.reserved_gpu_s -= reservation.gpu_s
        reservation.tokens, reservation.gpu_s = 0, 0.0
        self.used_tokens += tokens
        if not sent:
            self.used_calls -= 1

    def _book(self, reservation: Reservation, gpu_s: float) -> None:
        """What is used is no longer reserved."""
        more_s = gpu_s - reservation.used_gpu_s
        freed_s = more_s if more_s < reservation.gpu_s else reservation.gpu_s
        self.used_gpu_s += more_s
        self.reserved_gpu_s -= freed_s
        reservation.used_gpu_s, reservation.gpu_s = gpu_s, reservation.gpu_s - freed_s

    def exhausted(self, limit: str) -> BudgetExhausted:
        """The error for a limit that was reached; the first one is remembered."""
        self.stopped_by = self.stopped_by or limit
        limits = self.limits
        allowed = {
            "calls": limits.calls,
            "tokens": limits.tokens,
            "wall_s": limits.wall_s,
            "gpu_s": limits.gpu_s,
            "depth": limits.depth,
        }.get(limit)
        return BudgetExhausted(
            f"the request's budget is used up ({limit}: {allowed}); ask less at once, or raise the request's own "
            f"budget.{limit} or coordinator.budget.{limit}",
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
            limit_gpu_s=self.limits.gpu_s,
            used_gpu_s=self.used_gpu_s,
        )
