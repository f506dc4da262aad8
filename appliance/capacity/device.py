"""What engines compute on, and how they slow each other there. Pure.

A busy engine wants a share of its device, and so do its busy API server and the coordinator where they compute there
too. While those that are busy want more than all of it together, each goes on more slowly, all by the same factor. So a
device has a time of its own, which passes at that factor, and in which an engine takes as long as it would alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

from appliance.capacity.batching import NEVER, Engine


@dataclass(slots=True, eq=False)
class Device:
    """One device and its engines. `own_s` is its own time at `now_s`, `next_own_s` when something happens next.

    `version` tells one foresight from another. The coordinator's work has `timers`: it does one thing after the other,
    wants `desk_share` meanwhile, and has done all of it at `desk_free_s`.
    """

    engines: list[Engine] = field(default_factory=list)
    now_s: float = 0.0
    own_s: float = 0.0
    speed: float = 1.0
    version: int = 0
    next_own_s: float = NEVER
    desk_share: float = 0.0
    desk_free_s: float = 0.0
    timers: list[tuple[float, int, Callable[[Any], None], Any]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def advance(self, now_s: float) -> None:
        """Let time pass. Nothing must happen in it."""
        self.own_s += (now_s - self.now_s) * self.speed
        self.now_s = now_s

    def after(self, seconds: float, what: Callable[[Any], None], about: Any) -> None:
        """Call back once the coordinator has worked for so much of its own time, after what it has to do already."""
        self.desk_free_s = max(self.own_s, self.desk_free_s) + seconds
        heappush(self.timers, (self.desk_free_s, next(self._numbers), what, about))

    def due(self) -> list[tuple[Callable[[Any], None], Any]]:
        """Whom to call back now."""
        found = []
        while self.timers and self.timers[0][0] <= self.own_s:
            found.append(heappop(self.timers)[2:])
        return found

    def settle(self) -> float:
        """Something has changed: find its speed, and the real time of what happens next."""
        at_s, wanted = self.timers[0][0] if self.timers else NEVER, 0.0
        for engine in self.engines:
            if engine.next_s < at_s:
                at_s = engine.next_s
            if engine.busy:
                wanted += engine.profile.device_share
            if not engine.profile.server_share:
                continue
            if engine.server_free_s > self.own_s:
                wanted += engine.profile.server_share
                at_s = min(at_s, engine.server_free_s)
            else:
                wanted += engine.profile.server_share * engine.server_part
        if self.desk_free_s > self.own_s:
            wanted += self.desk_share
        self.speed = 1.0 if wanted <= 1.0 else 1.0 / wanted
        self.version += 1
        self.next_own_s = at_s
        return NEVER if at_s == NEVER else self.now_s + max(0.0, at_s - self.own_s) / self.speed
