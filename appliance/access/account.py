"""What one tenant may use, all of its requests together. Pure: `now_s` is an argument.

Each call reserves before it is sent and settles afterwards, so racing requests can't pass a limit together. A request
may keep room for its whole tree beforehand; its calls draw on that first. A single call that is larger than the limit
is let through when nothing else is used or held: it would never be otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

from appliance.access.window import HOUR_S, LEAST_RETRY_S, MINUTE_S, Draw, Taken, Window
from appliance.domain.policy import TenantLimits
from appliance.errors import LimitReached

REQUESTS: Final = "requests_per_min"
TOKENS: Final = "tokens_per_min"
GPU_HOUR: Final = "gpu_s_per_hour"
GPU_MONTH: Final = "gpu_s_per_month"
IN_FLIGHT: Final = "requests_in_flight"
LEASE: Final = "lease"

_FORGETTING: Final = 0.2
"""Weight of the newest request in the mean duration."""


@dataclass(slots=True)
class TenantReservation:
    """Tokens and device-seconds held for one call."""

    tokens: Taken
    gpu_s: Taken
    month: Taken


@dataclass(slots=True)
class TenantAccount:
    """The account of one tenant.

    Where several processes serve it, `in_flight_share` and the windows' shares are what this one may use, until
    `lease_until_s`; `short` notes what was refused for want of more, `short_s` when it was, and `waited_s` when
    somebody last waited for it.
    """

    name: str
    limits: TenantLimits
    in_flight: int = 0
    in_flight_share: float = inf
    lease_until_s: float = inf
    waited_s: float = -inf
    short: dict[str, float] = field(default_factory=dict)
    short_s: float = -inf
    mean_s: float = 0.0
    requests: Window = field(init=False)
    tokens: Window = field(init=False)
    gpu_s: Window = field(init=False)
    month: Window = field(init=False)
    unlimited: bool = field(init=False)

    def __post_init__(self) -> None:
        said = self.limits
        self.requests = Window(REQUESTS, _or_inf(said.requests_per_min), MINUTE_S)
        self.tokens = Window(TOKENS, _or_inf(said.tokens_per_min), MINUTE_S)
        self.gpu_s = Window(GPU_HOUR, _or_inf(said.gpu_s_per_hour), HOUR_S)
        self.month = Window(GPU_MONTH, _or_inf(said.gpu_s_per_month), inf)
        self.in_flight_share = min(self.in_flight_share, _or_inf(said.requests_in_flight))
        self.unlimited = said == _NO_LIMITS

    @property
    def windows(self) -> tuple[Window, ...]:
        """All of them, in the order in which they refuse."""
        return self.requests, self.tokens, self.gpu_s, self.month

    @property
    def holds_nothing(self) -> bool:
        """No request is in flight and nothing is held."""
        held = (self.tokens.held, self.gpu_s.held, self.month.held)
        return not self.in_flight and all(abs(amount) < 1e-6 for amount in held)

    def lack(self, limit: str, amount: float, now_s: float) -> None:
        """So much more of a limit would have been needed."""
        self.short[limit], self.short_s = amount, now_s

    def share_of(self, limit: str) -> float:
        """What this process may use of a limit."""
        if limit == IN_FLIGHT:
            return self.in_flight_share
        return next((window.share for window in self.windows if window.name == limit), 0.0)

    def adopt(self, limits: TenantLimits) -> None:
        """Other limits from now on; what was used and is held stays booked."""
        self.limits, self.unlimited = limits, limits == _NO_LIMITS
        named = zip(
            self.windows,
            (limits.requests_per_min, limits.tokens_per_min, limits.gpu_s_per_hour, limits.gpu_s_per_month),
            strict=True,
        )
        for window, limit in named:
            window.limit = window.share = _or_inf(limit)
        self.in_flight_share = _or_inf(limits.requests_in_flight)

    def request(self) -> TenantRequest:
        """For one new request."""
        return TenantRequest(self, Draw(self.tokens), Draw(self.gpu_s), Draw(self.month))

    def refusal(self, limit: str, allowed: float, retry_after_s: float) -> LimitReached:
        """The error for a limit that was reached."""
        return LimitReached(
            f"tenant {self.name} has used up its share ({limit}: {allowed:g}); try again in {retry_after_s:.0f} s, or "
            f"have {limit} raised in the tenant's policy",
            retry_after_s=retry_after_s,
            limit=limit,
        )


@dataclass(slots=True)
class TenantRequest:
    """One request on its tenant's account: `enter` before anything else, `leave` at its end, whatever way it ends."""

    account: TenantAccount
    _tokens: Draw
    _gpu_s: Draw
    _month: Draw
    _entered_s: float | None = None

    def enter(self, now_s: float) -> None:
        """Count it in. Raises LimitReached when too many are in flight, or nothing is left of a window."""
        account = self.account
        if now_s > account.lease_until_s and not account.unlimited:
            raise LimitReached(
                f"the limits of tenant {account.name} can't be shared, for the ledger does not answer; try again",
                retry_after_s=LEAST_RETRY_S,
                limit=LEASE,
            )
        if account.in_flight + 1 > account.in_flight_share:
            most = account.limits.requests_in_flight or 0
            account.lack(IN_FLIGHT, 1.0, now_s)
            raise account.refusal(IN_FLIGHT, most, max(LEAST_RETRY_S, account.mean_s / max(1, most)))
        requests = account.requests
        if requests.limit != inf and requests.free(now_s) < 1:
            account.lack(REQUESTS, 1.0, now_s)
            raise account.refusal(requests.name, requests.limit, requests.retry_after_s(1, now_s))
        for draw in (self._tokens, self._gpu_s, self._month):
            window = draw.window
            if window.limit != inf and window.used(now_s) >= window.share:
                raise self._refused(draw, 0.0, now_s)
        requests.use(1, now_s)
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
        for draw in (self._tokens, self._gpu_s, self._month):
            draw.close()

    def room(self, now_s: float) -> tuple[float, float]:
        """Tokens and device-seconds that this request could keep now."""
        gpu_s = min(self._gpu_s.window.free(now_s), self._month.window.free(now_s))
        return self._tokens.window.free(now_s), gpu_s

    @property
    def kept(self) -> tuple[float, float]:
        """Tokens and device-seconds that are held for calls to come."""
        return self._tokens.kept, self._gpu_s.kept

    def keep(self, tokens: float, gpu_s: float) -> None:
        """Hold room for the calls of the whole tree; the caller has looked at `room` in the same moment."""
        self._tokens.keep(tokens)
        self._gpu_s.keep(gpu_s)
        self._month.keep(gpu_s)

    def reserve(self, tokens: float, gpu_s: float, now_s: float) -> TenantReservation:
        """Take one call. Raises LimitReached, with the time after which it may fit."""
        for draw, amount in ((self._tokens, tokens), (self._gpu_s, gpu_s), (self._month, gpu_s)):
            if draw.window.limit != inf and draw.lacks(amount, now_s):
                raise self._refused(draw, amount, now_s)
        return TenantReservation(self._tokens.take(tokens), self._gpu_s.take(gpu_s), self._month.take(gpu_s))

    def settle(self, reservation: TenantReservation, tokens: float, gpu_s: float, now_s: float) -> None:
        """Book what a call used."""
        self._tokens.settle(reservation.tokens, tokens, now_s)
        self._gpu_s.settle(reservation.gpu_s, gpu_s, now_s)
        self._month.settle(reservation.month, gpu_s, now_s)

    def _refused(self, draw: Draw, amount: float, now_s: float) -> LimitReached:
        window = draw.window
        # At least a thousandth of the limit has to come free before a call is worth trying.
        least = max(min(amount, window.limit) - draw.kept, window.limit / 1000)
        self.account.lack(window.name, least, now_s)
        return self.account.refusal(window.name, window.limit, window.retry_after_s(least, now_s))


_NO_LIMITS: Final = TenantLimits()


def _or_inf(limit: float | None) -> float:
    return inf if limit is None else limit
