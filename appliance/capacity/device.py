"""What engines compute on, and how they slow each other there. Pure.

A busy engine wants a share of its device. While those that are busy want more than all of it together, each goes on
more slowly, all by the same factor. So a device has a time of its own, which passes at that factor, and in which an
engine takes as long as it would alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.capacity.batching import NEVER, Engine


@dataclass(slots=True, eq=False)
class Device:
    """One device and its engines. `own_s` is its own time at `now_s`; `version` tells one foresight from another."""

    engines: list[Engine] = field(default_factory=list)
    now_s: float = 0.0
    own_s: float = 0.0
    speed: float = 1.0
    version: int = 0

    def advance(self, now_s: float) -> None:
        """Let time pass. Nothing must happen in it."""
        self.own_s += (now_s - self.now_s) * self.speed
        self.now_s = now_s

    def next_own_s(self) -> float:
        """When something happens next, in its own time."""
        return min([engine.next_s for engine in self.engines])

    def settle(self) -> float:
        """Something has changed: find its speed, and the real time of what happens next."""
        if len(self.engines) > 1:
            self.speed = speed_of([engine.profile.device_share for engine in self.engines if engine.busy])
        self.version += 1
        at = self.next_own_s()
        return NEVER if at == NEVER else self.now_s + max(0.0, at - self.own_s) / self.speed


def speed_of(shares: Sequence[float]) -> float:
    """The factor for engines that want these shares of one device at once."""
    wanted = sum(shares)
    return 1.0 if wanted <= 1.0 else 1.0 / wanted
