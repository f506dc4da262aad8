"""Every account that the calls of one request are booked on: the request's own budget and its tenant's. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.access.account import TenantRequest, TenantReservation
from appliance.access.limits import Limits
from appliance.coordinator.budget import NOTHING, Budget, Need, Reservation
from appliance.domain.model import Role


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call may take: tokens as reserved in the budget, tokens at the very most, device-seconds as foreseen."""

    tokens: int
    most_tokens: int
    gpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Charge:
    """One call's reservations."""

    budget: Reservation
    tenant: TenantReservation


@dataclass(slots=True)
class Accounts:
    """Of one request. `limits` are those that its tenant's account is one of."""

    budget: Budget
    tenant: TenantRequest
    limits: Limits

    async def enter(self, clock: Callable[[], float]) -> None:
        """Count the request in. Raises Overloaded."""
        await self.limits.enter(self.tenant, clock)

    async def more(self, limit: str) -> bool:
        """Ask other processes for more of a limit that refused; False where there are none."""
        if self.limits.more is None:
            return False
        await self.limits.more(self.tenant.account, limit)
        return True

    def reserve(
        self,
        estimate: Estimate,
        role: Role,
        now_s: float,
        deadline_s: float,
        keep: Need = NOTHING,
        *,
        optional: bool = False,
    ) -> Charge:
        """Take one call on all accounts, or on none. Raises BudgetExhausted, or Overloaded for the tenant's."""
        gpu_limit_s = self.budget.gpu_limit_of(role, optional=optional)
        reservation = self.budget.reserve(
            estimate.tokens, now_s, deadline_s, keep, gpu_s=estimate.gpu_s, gpu_limit_s=gpu_limit_s
        )
        taken = False
        try:
            held = self.tenant.reserve(estimate.most_tokens, estimate.gpu_s, now_s)
            taken = True
        finally:
            if not taken:
                self.budget.settle(reservation, 0, sent=False)
        return Charge(reservation, held)

    def meter(self, charge: Charge, gpu_s: float) -> None:
        """A call that runs was charged `gpu_s` so far. Raises BudgetExhausted when that is too much."""
        self.budget.meter(charge.budget, gpu_s)

    def settle(self, charge: Charge, tokens: int, gpu_s: float, now_s: float, *, sent: bool) -> None:
        """Give back what was reserved and book what was used."""
        self.budget.settle(charge.budget, tokens, gpu_s, sent=sent)
        self.tenant.settle(charge.tenant, tokens, gpu_s, now_s)
