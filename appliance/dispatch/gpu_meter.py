"""Who pays for an engine's devices: each of their seconds is shared by the calls that are on the engine. Pure.

While k calls are in flight on an engine that holds g devices, each of them is charged g/k device-seconds a second. So
the charges of all calls add up to g times the seconds in which any call was there, and idle time is charged to nobody.
An engine on the CPU counts as one device. An engine on a part of a GPU (MIG, or one that it shares with others) holds
that device as far as this meter goes: two busy engines on one card are each charged for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class _Busy:
    """An engine with calls on it. `each_s`: what a call has been charged that was there from the beginning."""

    devices: int
    at_s: float
    calls: int = 0
    each_s: float = 0.0

    def advance(self, now_s: float) -> None:
        """Charge up to now. A clock that went back charges nothing, and nothing twice when it comes forth again."""
        if now_s <= self.at_s:
            return
        if self.calls:
            self.each_s += (now_s - self.at_s) * self.devices / self.calls
        self.at_s = now_s


@dataclass(slots=True)
class Receipt:
    """What one call is charged, over all engines that it was sent to, one after the other."""

    _meter: GpuMeter
    _settled_s: float = 0.0
    _engine_id: str | None = None
    _since_s: float = 0.0

    def begin(self, engine_id: str, devices: int, now_s: float) -> None:
        """The call goes to an engine."""
        self._engine_id, self._since_s = engine_id, self._meter.enter(engine_id, devices, now_s)

    def end(self, now_s: float) -> None:
        """The call has left the engine."""
        if self._engine_id is not None:
            engine_id, self._engine_id = self._engine_id, None
            self._settled_s += self._meter.leave(engine_id, now_s) - self._since_s

    def gpu_s(self, now_s: float) -> float:
        """Device-seconds so far."""
        if self._engine_id is None:
            return self._settled_s
        return self._settled_s + self._meter.each_s(self._engine_id, now_s) - self._since_s


@dataclass(slots=True)
class GpuMeter:
    """The engines that calls are on. Every `now_s` is on the same clock."""

    _busy: dict[str, _Busy] = field(default_factory=dict)

    def receipt(self) -> Receipt:
        """For one new call."""
        return Receipt(self)

    @property
    def idle(self) -> bool:
        """No call is on any engine."""
        return not self._busy

    def enter(self, engine_id: str, devices: int, now_s: float) -> float:
        """One more call; returns the engine's reading, to be taken off the one at its end."""
        engine = self._busy.setdefault(engine_id, _Busy(devices, now_s))
        engine.advance(now_s)
        engine.devices = devices  # it may have been started anew under the same id
        engine.calls += 1
        return engine.each_s

    def each_s(self, engine_id: str, now_s: float) -> float:
        """The engine's reading now."""
        engine = self._busy[engine_id]
        engine.advance(now_s)
        return engine.each_s

    def leave(self, engine_id: str, now_s: float) -> float:
        """One call less; returns the engine's reading. An engine without calls is forgotten."""
        engine = self._busy[engine_id]
        engine.advance(now_s)
        engine.calls -= 1
        if not engine.calls:
            del self._busy[engine_id]
        return engine.each_s
