"""The one place where the control loop and the request path meet."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.domain.engine import EngineState, EngineStatus


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """All engines at one moment. `version` grows by one with each publication."""

    version: int = 0
    engines: tuple[EngineStatus, ...] = ()

    def by_model(self) -> dict[str, tuple[EngineStatus, ...]]:
        """The engines of each model, in any state."""
        found: dict[str, list[EngineStatus]] = {}
        for engine in self.engines:
            found.setdefault(engine.model_id, []).append(engine)
        return {model_id: tuple(engines) for model_id, engines in found.items()}

    def ready(self, model_id: str) -> tuple[EngineStatus, ...]:
        """The engines that serve `model_id` now."""
        return tuple(e for e in self.engines if e.model_id == model_id and e.state is EngineState.READY)

    def available(self, model_id: str) -> bool:
        """Whether a call of `model_id` is served, at once or after the turn of another model."""
        return any(e.model_id == model_id and (e.state is EngineState.READY or e.awaits_turn) for e in self.engines)


@dataclass(frozen=True, slots=True)
class DemandEvent:
    """`waiting` requests want `model_id` and no engine takes them yet; `in_flight` others are being answered.

    The request path tells it when it finds no engine, and at each change and again and again while one waits where
    models take turns. `at_s` is on the monotonic clock.
    """

    model_id: str
    waiting: int
    at_s: float
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """What an engine takes and does, as last sampled. None: not known, which is not the same as 0.

    Bytes are per GPU (of the fullest one), on the CPU of the machine: as planned at most, and as measured of its
    processes. `tokens_per_s` are generated ones since the sample before; `kv_used_share` is the part of the KV cache
    that is in use, 0 to 1. `server_cpu_s` are processor seconds of its API server since that began. `remark` says what
    a person should look at.
    """

    gpu_ids: tuple[str, ...] = ()
    planned_bytes: int | None = None
    measured_bytes: int | None = None
    kv_tokens: int | None = None
    running_requests: int | None = None
    waiting_requests: int | None = None
    tokens_per_s: float | None = None
    remark: str = ""
    kv_used_share: float | None = None
    server_cpu_s: float | None = None


@dataclass(frozen=True, slots=True)
class ModelRoom:
    """What there is of a model, on all of its engines together.

    Calls that run and that wait, `places` for calls in their batches, `devices` of one engine, tokens of their KV
    caches (None: not known yet).
    """

    running: int = 0
    waiting: int = 0
    places: int = 1
    devices: int = 1
    kv_tokens: int | None = None


NO_FIGURES = EngineFigures()


@dataclass(frozen=True, slots=True)
class PlanNote:
    """When (wall time) and why the plan that runs was made. `trouble`: what speaks against it now, and why it stays."""

    made_unix_s: float
    why: tuple[str, ...]
    trouble: tuple[str, ...] = ()


@dataclass(slots=True)
class Fleet:
    """Three cells and a queue, each with one writer.

    The newest snapshot (written by the supervisor), figures by engine id (written by the sampler), what is to be known
    of the plan (None where the pool is followed; written by whoever plans), and the demand (read by the supervisor).
    """

    snapshot: FleetSnapshot = field(default_factory=FleetSnapshot)
    figures: Mapping[str, EngineFigures] = field(default_factory=dict)
    plan: PlanNote | None = None
    demand: deque[DemandEvent] = field(default_factory=lambda: deque(maxlen=10_000))

    def publish(self, engines: tuple[EngineStatus, ...]) -> FleetSnapshot:
        """Replace the snapshot."""
        self.snapshot = FleetSnapshot(self.snapshot.version + 1, engines)
        return self.snapshot

    def figures_of(self, engine_id: str) -> EngineFigures:
        """The last figures of an engine; all unknown before the first sample."""
        return self.figures.get(engine_id, NO_FIGURES)
