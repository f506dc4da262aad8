"""The one place where the control loop and the request path meet."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from appliance.domain.engine import EngineState, EngineStatus


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """All engines at one moment. `version` grows by one with each publication."""

    version: int = 0
    engines: tuple[EngineStatus, ...] = ()

    def ready(self, model_id: str) -> tuple[EngineStatus, ...]:
        """The engines that serve `model_id` now."""
        return tuple(e for e in self.engines if e.model_id == model_id and e.state is EngineState.READY)


@dataclass(frozen=True, slots=True)
class DemandEvent:
    """The request path wanted `model_id` and found `waiting` requests ahead, or no engine at all."""

    model_id: str
    waiting: int
    at_s: float


@dataclass(slots=True)
class Fleet:
    """A cell with the newest snapshot (written by the supervisor only) and the queue of demand (read by it only)."""

    snapshot: FleetSnapshot = field(default_factory=FleetSnapshot)
    demand: deque[DemandEvent] = field(default_factory=lambda: deque(maxlen=10_000))

    def publish(self, engines: tuple[EngineStatus, ...]) -> FleetSnapshot:
        """Replace the snapshot."""
        self.snapshot = FleetSnapshot(self.snapshot.version + 1, engines)
        return self.snapshot
