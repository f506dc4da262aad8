"""What one tenant may use over a sliding window, all of its requests together. Pure: `now_s` is an argument.

Each call reserves before it is sent and settles afterwards, so racing requests can't pass a limit together. A request
may keep room for its whole tree beforehand; its calls draw on that first. A single call that is larger than the limit
is let through when nothing else is used or held: it would never be otherwise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import fsum, inf

from appliance.errors import Overloaded

MINUTE_S, HOUR_S = 60.0, 3600.0

_STEPS = 60
"""What is used within this part of a window leaves it together."""

_LEAST_RETRY_S = 1.0
_FORGETTING = 0.2
"""Weight of the newest request in the mean duration."""


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """Of each tenant; None: no limit. Tokens are prompt and completion together, `gpu_s` device-seconds."""

    tokens_per_min: int | None = None
    gpu_s_per_hour: float | None = None
    requests_in_flight: int | None = None


@dataclass(slots=True)
class _Step:
    """An amount that was used up to `last_s`, from `first_s` on."""

    first_s: float
    last_s: float
    amount: float


@dataclass(slots=True)
class _Window:
    """Amounts used within the last `window_s`, and amounts held for what runs. `name` is the limit's own."""

    name: str
    limit: float
    window_s: float
    held: float = 0.0
    _now_s: float = -inf
    _steps: deque[_Step] = field(default_factory=deque)

    def used(self, now_s: float) -> float:
        """Within the window that ends now. A clock that goes back moves nothing."""
        self._now_s = max(self._now_s, now_s)
        while self._steps and self._steps[0].last_s + self.window_s <= self._now_s:
            self._steps.popleft()
        return fsum(step.amount for step in self._steps)

    def free(self, now_s: float) -> float:
        """Neither used nor held."""
        return self.limit - self.used(now_s) - self.held

    def use(self, amount: float, now_s: float) -> None:
        """Book what was used."""
        self.used(now_s)
        if self._steps and self._now_s - self._steps[-1].first_s < self.window_s / _STEPS:
            self._steps[-1].amount += amount
            self._steps[-1].last_s = self._now_s
        else:
            self._steps.append(_Step(self._now_s, self._now_s, amount))

    def retry_after_s(self, amount: float, now_s: float) -> float:
        """The earliest moment from now at which `amount` can fit: if what is held is given back unused."""
        missing = amount - (self.limit - self.used(now_s))
        at_s = self._now_s
        for step in self._steps:
            if missing <= 0:
                break
            missing -= step.amount
            at_s = step.last_s + self.window_s
        return max(_LEAST_RETRY_S, at_s - self._now_s)


@dataclass(slots=True)
class _Taken:
    """Held for one call: `kept` of it was held for its request before."""

    amount: float
    kept: float


@dataclass(slots=True)
class _Draw:
    """One request's part of a window. `kept` is held for calls that come."""

    window: _Window
    kept: float = 0.0

    def keep(self, amount: float) -> None:
        """Hold that much for the calls of this request."""
        self.window.held += amount
        self.kept += amount

    def lacks(self, amount: float, now_s: float) -> bool:
        """Whether a call of that size has no room."""
        return self._asked(amount) - self.kept > self.window.free(now_s)

    def take(self, amount: float) -> _Taken:
        """Hold it for one call, out of what is kept first."""
        amount = self._asked(amount)
        kept = min(self.kept, amount)
        self.kept -= kept
        self.window.held += amount - kept
        return _Taken(amount, kept)

    def settle(self, taken: _Taken, used: float, now_s: float) -> None:
        """Book what a call used; what it left goes back to where it was taken from."""
        back = min(taken.kept, max(0.0, taken.amount - used))
        self.kept += back
        self.window.held -= taken.amount - back
        if used:
            self.window.use(used, now_s)

    def close(self) -> None:
        """Give back what is kept."""
        self.window.held -= self.kept
        self.kept = 0.0

    def _asked(self, amount: float) -> float:
        return min(amount, self.window.limit)


@dataclass(slots=True)
class TenantReservation:
    """Tokens and device-seconds held for one call."""

    tokens: _Taken
    gpu_s: _Taken


@dataclass(slots=True)
class TenantAccount:
    """The account of one tenant."""

    name: str
    limits: TenantLimits
    in_flight: int = 0
    mean_s: float = 0.0
    tokens: _Window = field(init=False)
    gpu_s: _Window = field(init=False)

    def __post_init__(self) -> None:
        said = self.limits
        self.tokens = _Window("tokens_per_min", inf if said.tokens_per_min is None else said.tokens_per_min, MINUTE_S)
        self.gpu_s = _Window("gpu_s_per_hour", inf if said.gpu_s_per_hour is None else said.gpu_s_per_hour, HOUR_S)

    @property
    def holds_nothing(self) -> bool:
        """No request is in flight and nothing is held."""
        return not self.in_flight and abs(self.tokens.held) < 1e-6 and abs(self.gpu_s.held) < 1e-6

    def request(self) -> TenantRequest:
        """For one new request."""
        return TenantRequest(self, _Draw(self.tokens), _Draw(self.gpu_s))

    def refusal(self, limit: str, allowed: float, retry_after_s: float) -> Overloaded:
        """The error for a limit that was reached."""
        return Overloaded(
            f"tenant {self.name} has used up its share ({limit}: {allowed:g}); try again in {retry_after_s:.0f} s, or "
            f"raise coordinator.tenant_budget.{limit}",
            retry_after_s=retry_after_s,
        )


@dataclass(slots=True)
class TenantRequest:
    """One request on its tenant's account: `enter` before anything else, `leave` at its end, whatever way it ends."""

    account: TenantAccount
    _tokens: _Draw
    _gpu_s: _Draw
    _entered_s: float | None = None

    def enter(self, now_s: float) -> None:
        """Count it in. Raises Overloaded when too many are in flight, or nothing is left of a window."""
        account, most = self.account, self.account.limits.requests_in_flight
        if most is not None and account.in_flight >= most:
            raise account.refusal("requests_in_flight", most, max(_LEAST_RETRY_S, account.mean_s / most))
        for draw in (self._tokens, self._gpu_s):
            if draw.window.used(now_s) >= draw.window.limit:
                raise self._refused(draw, 0.0, now_s)
        account.in_flight += 1
        self._entered_s = now_s

    def leave(self, now_s: float) -> None:
        """Count it out and give back what is kept; nothing where it never entered or has left already."""
        if self._entered_s is None:
            return
        account, took_s = self.account, max(0.0, now_s - self._entered_s)
        self._entered_s = None
        account.in_flight -= 1
        account.mean_s += (took_s - account.mean_s) * (_FORGETTING if account.mean_s else 1.0)
        self._tokens.close()
        self._gpu_s.close()

    def room(self, now_s: float) -> tuple[float, float]:
        """Tokens and device-seconds that this request could keep now."""
        return self._tokens.window.free(now_s), self._gpu_s.window.free(now_s)

    @property
    def kept(self) -> tuple[float, float]:
        """Tokens and device-seconds that are held for calls to come."""
        return self._tokens.kept, self._gpu_s.kept

    def keep(self, tokens: float, gpu_s: float) -> None:
        """Hold room for the calls of the whole tree; the caller has looked at `room` in the same moment."""
        self._tokens.keep(tokens)
        self._gpu_s.keep(gpu_s)

    def reserve(self, tokens: float, gpu_s: float, now_s: float) -> TenantReservation:
        """Take one call. Raises Overloaded, with the time after which it may fit."""
        for draw, amount in ((self._tokens, tokens), (self._gpu_s, gpu_s)):
            if draw.lacks(amount, now_s):
                raise self._refused(draw, amount, now_s)
        return TenantReservation(self._tokens.take(tokens), self._gpu_s.take(gpu_s))

    def settle(self, reservation: TenantReservation, tokens: float, gpu_s: float, now_s: float) -> None:
        """Book what a call used."""
        self._tokens.settle(reservation.tokens, tokens, now_s)
        self._gpu_s.settle(reservation.gpu_s, gpu_s, now_s)

    def _refused(self, draw: _Draw, amount: float, now_s: float) -> Overloaded:
        window = draw.window
        # At least a thousandth of the limit has to come free before a call is worth trying.
        least = max(min(amount, window.limit) - draw.kept, window.limit / 1000)
        return self.account.refusal(window.name, window.limit, window.retry_after_s(least, now_s))


@dataclass(slots=True)
class TenantAccounts:
    """All accounts, each with the same limits; one owner, on one event loop."""

    limits: TenantLimits
    _accounts: dict[str, TenantAccount] = field(default_factory=dict)

    def of(self, tenant: str) -> TenantAccount:
        """The account of a tenant."""
        return self._accounts.setdefault(tenant, TenantAccount(tenant, self.limits))

    @property
    def hold_nothing(self) -> bool:
        """Every account is even."""
        return all(account.holds_nothing for account in self._accounts.values())
