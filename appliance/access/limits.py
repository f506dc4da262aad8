"""The accounts of all tenants in this process: what the coordinator books trees on, and the data path single calls.

Everything here is synchronous and takes microseconds. One instance belongs to one event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from appliance.access.account import TenantAccount, TenantRequest, TenantReservation
from appliance.access.window import Window
from appliance.domain.policy import DataPolicy, TenantLimits
from appliance.domain.tenant import Tenant
from appliance.errors import LimitReached

Headers = list[tuple[bytes, bytes]]

NOTHING_ALLOWED: Final = TenantLimits(0, 0, 0, 0.0, 0.0)
"""Of a tenant whose policy is not there."""


@dataclass(slots=True)
class Admitted:
    """A call that may be sent; `settle` ends it. Without limits there is nothing to hold."""

    account: TenantAccount
    request: TenantRequest | None = None
    reservation: TenantReservation | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that may not be sent now. `limit` is the one that was reached, `headers` are for the answer."""

    limit: str
    reason: str
    retry_after_s: float
    headers: Headers


@dataclass(slots=True)
class Limits:
    """All accounts. Tenants get one when they are first seen; `on_new` hears of it, and of other limits of one.

    `more` gets more of a limit that refused, from the other processes that share it; None where there are none.
    """

    policy: DataPolicy
    on_new: Callable[[TenantAccount], None] = lambda _account: None
    more: Callable[[TenantAccount, str], Awaitable[None]] | None = None
    _accounts: dict[str, TenantAccount] = field(default_factory=dict)
    _adopted: dict[str, str] = field(default_factory=dict)

    def account(self, tenant: Tenant) -> TenantAccount:
        """The account of a tenant, under the limits of the policy that it has now."""
        name = tenant.name
        if self._adopted.get(name) != tenant.policy:
            self._adopt(name, tenant.policy)
        return self._accounts[name]

    def accounts(self) -> tuple[TenantAccount, ...]:
        """Those that there are."""
        return tuple(self._accounts.values())

    @property
    def hold_nothing(self) -> bool:
        """Every account is even."""
        return all(account.holds_nothing for account in self._accounts.values())

    async def enter(self, request: TenantRequest, clock: Callable[[], float]) -> None:
        """Count a request in, with more of a limit where other processes leave it some. Raises LimitReached."""
        try:
            request.enter(clock())
        except LimitReached as refused:
            if self.more is None:
                raise
            await self.more(request.account, refused.limit)
            request.enter(clock())

    def admit(self, tenant: Tenant, tokens_estimate: float, now_s: float, gpu_s: float = 0.0) -> Admitted | Refused:
        """Count one request of one call in, and hold what it may take at the most."""
        free = self.admit_freely(tenant)
        if free is not None:
            return free
        account = self.account(tenant)
        request = account.request()
        try:
            request.enter(now_s)
            return Admitted(account, request, request.reserve(tokens_estimate, gpu_s, now_s))
        except LimitReached as error:
            request.leave(now_s)
            return Refused(error.limit, str(error), error.retry_after_s, self.headers(tenant, now_s))

    def admit_freely(self, tenant: Tenant) -> Admitted | None:
        """Count one request in where its tenant has no limits, so that nothing has to be estimated; else None."""
        account = self.account(tenant)
        if not account.unlimited:
            return None
        account.in_flight += 1
        return Admitted(account)

    def settle(self, admitted: Admitted, tokens: float, gpu_s: float, now_s: float) -> None:
        """The call is over: book what it used and count its request out."""
        if admitted.request is None or admitted.reservation is None:
            admitted.account.in_flight -= 1
            admitted.account.month.use(gpu_s, now_s)
            return
        admitted.request.settle(admitted.reservation, tokens, gpu_s, now_s)
        admitted.request.leave(now_s)

    def headers(self, tenant: Tenant, now_s: float) -> Headers:
        """`x-ratelimit-*` of a tenant, as OpenAI's clients know them; none for what has no limit."""
        return self.headers_of(self.account(tenant), now_s)

    def headers_of(self, account: TenantAccount, now_s: float) -> Headers:
        """The same of an account."""
        headers: Headers = []
        if account.unlimited:
            return headers
        for kind, window in ((b"requests", account.requests), (b"tokens", account.tokens)):
            if window.limit != inf:
                headers += _headers(kind, window, now_s)
        return headers

    def _adopt(self, name: str, policy: str) -> None:
        known = self.policy.of(policy)
        limits = NOTHING_ALLOWED if known is None else known.limits
        if name in self._accounts:
            self._accounts[name].adopt(limits)
        else:
            self._accounts[name] = TenantAccount(name, limits)
        self._adopted[name] = policy
        self.on_new(self._accounts[name])


def _headers(kind: bytes, window: Window, now_s: float) -> Headers:
    left = max(0, int(window.free(now_s)))
    return [
        (b"x-ratelimit-limit-" + kind, b"%d" % window.limit),
        (b"x-ratelimit-remaining-" + kind, b"%d" % left),
        (b"x-ratelimit-reset-" + kind, b"%.3gs" % window.reset_s(now_s)),
    ]
