"""An amount that may be used within a sliding window, or a calendar month. Pure: `now_s` is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import fsum, inf
from typing import Final

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0

_STEPS: Final = 60
"""What is used within this part of a window leaves it together."""

LEAST_RETRY_S: Final = 1.0


@dataclass(slots=True)
class _Step:
    """An amount that was used up to `last_s`, from `first_s` on."""

    first_s: float
    last_s: float
    amount: float


@dataclass(slots=True)
class Window:
    """Amounts used within the last `window_s`, and amounts held for what runs. `name` is the limit's own.

    `share` is the part of the limit that this process may use: all of it, where no other one serves the same tenants.
    Without a limit nothing is counted but what a period needs. A window of infinite length is a period: whoever keeps
    it starts it anew, and says in `ends_s` when that will be.
    """

    name: str
    limit: float
    window_s: float
    held: float = 0.0
    share: float = inf
    ends_s: float = inf
    _now_s: float = -inf
    _sum: float = 0.0
    _steps: deque[_Step] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.share = min(self.share, self.limit)

    def used(self, now_s: float) -> float:
        """Within the window that ends now. A clock that goes back moves nothing."""
        if now_s > self._now_s:
            self._now_s = now_s
        steps = self._steps
        if steps and steps[0].last_s + self.window_s <= self._now_s:
            while steps and steps[0].last_s + self.window_s <= self._now_s:
                steps.popleft()
            self._sum = fsum(step.amount for step in steps)
        return self._sum

    def free(self, now_s: float) -> float:
        """Neither used nor held."""
        return self.share - self.used(now_s) - self.held

    def use(self, amount: float, now_s: float) -> None:
        """Book what was used."""
        if self.window_s == inf:
            self._sum += amount
            return
        if self.limit == inf:
            return
        self.used(now_s)
        self._sum += amount
        steps = self._steps
        if steps and (self._now_s - steps[-1].first_s < self.window_s / _STEPS):
            steps[-1].amount += amount
            steps[-1].last_s = self._now_s
        else:
            steps.append(_Step(self._now_s, self._now_s, amount))

    def begin(self, used: float, ends_s: float) -> None:
        """A new period, of which so much is used already."""
        self._sum, self.ends_s = used, ends_s

    def retry_after_s(self, amount: float, now_s: float) -> float:
        """The earliest moment from now at which `amount` can fit: if what is held is given back unused."""
        missing = amount - (self.share - self.used(now_s))
        if missing > 0 and self.window_s == inf:
            return max(LEAST_RETRY_S, self.ends_s - now_s)
        at_s = self._now_s
        for step in self._steps:
            if missing <= 0:
                break
            missing -= step.amount
            at_s = step.last_s + self.window_s
        return max(LEAST_RETRY_S, at_s - self._now_s)

    def reset_s(self, now_s: float) -> float:
        """Seconds until nothing is used any more, if nothing more is used."""
        used = self.used(now_s)
        if self.window_s == inf:
            return max(0.0, self.ends_s - now_s)
        return max(0.0, self._steps[-1].last_s + self.window_s - self._now_s) if used and self._steps else 0.0


@dataclass(slots=True)
class Taken:
    """Held for one call: `kept` of it was held for its request before."""

    amount: float
    kept: float


NOTHING_TAKEN: Final = Taken(0.0, 0.0)
"""Of a window without a limit."""


@dataclass(slots=True)
class Draw:
    """One request's part of a window. `kept` is held for calls that come."""

    window: Window
    kept: float = 0.0

    def keep(self, amount: float) -> None:
        """Hold that much for the calls of this request."""
        self.window.held += amount
        self.kept += amount

    def lacks(self, amount: float, now_s: float) -> bool:
        """Whether a call of that size has no room."""
        return self._asked(amount) - self.kept > self.window.free(now_s)

    def take(self, amount: float) -> Taken:
        """Hold it for one call, out of what is kept first."""
        if self.window.limit == inf:
            return NOTHING_TAKEN
        amount = self._asked(amount)
        kept = min(self.kept, amount)
        self.kept -= kept
        self.window.held += amount - kept
        return Taken(amount, kept)

    def settle(self, taken: Taken, used: float, now_s: float) -> None:
        """Book what a call used; what it left goes back to where it was taken from."""
        if taken is not NOTHING_TAKEN:
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
