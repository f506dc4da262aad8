"""Whether an engine whose calls fail is left alone for a while. Pure: `now_s` is an argument.

    closed ──failures in a row──► open ──time is over──► half-open ──the trial fails──► open, for twice as long
       ▲                                                     │
       └────────────────── a call went well ─────────────────┘

Half-open, one call goes as a trial and the others wait for what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """What it lets through: everything, nothing, or one call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Sign(StrEnum):
    """What the end of a call says of its engine."""

    WORKS = "works"
    FAILS = "fails"
    NOTHING = "nothing"
    """The caller left, its time was up, or the supervisor had taken the engine away by then."""


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """So many failures in a row open it, for `open_s`; each trial that fails doubles that, up to `longest_open_s`."""

    failures: int = 5
    open_s: float = 1.0
    longest_open_s: float = 30.0


@dataclass(slots=True)
class Breaker:
    """Of one engine process. `failures` is how many calls in a row have failed by now."""

    limits: BreakerLimits
    failures: int = 0
    _opened: int = 0
    _until_s: float | None = None
    _trial: bool = False

    def state(self, now_s: float) -> BreakerState:
        """Where it stands."""
        if self._until_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self._until_s else BreakerState.HALF_OPEN

    def has_room(self, now_s: float) -> bool:
        """Whether a call may go now. Open: none may; half-open: one, while no other one is on trial."""
        state = self.state(now_s)
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and not self._trial)

    def left_s(self, now_s: float) -> float:
        """Seconds until it lets a trial through; 0 unless it is open."""
        return 0.0 if self._until_s is None else max(0.0, self._until_s - now_s)

    def sent(self, now_s: float) -> bool:
        """A call goes; True where it is the trial."""
        if self._trial or self.state(now_s) is not BreakerState.HALF_OPEN:
            return False
        self._trial = True
        return True

    def ended(self, sign: Sign, now_s: float, *, trial: bool) -> None:
        """A call has ended. Once open, only the trial can open it for longer; any call that went well closes it."""
        self._trial = self._trial and not trial
        if sign is Sign.WORKS:
            self.failures, self._opened, self._until_s = 0, 0, None
        elif sign is Sign.FAILS:
            self.failures += 1
            if trial or (self._until_s is None and self.failures >= self.limits.failures):
                self._opened += 1
                open_s = self.limits.open_s * 2 ** min(self._opened - 1, 30)
                self._until_s = now_s + min(open_s, self.limits.longest_open_s)
