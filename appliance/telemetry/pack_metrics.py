"""Prometheus metrics of a pack: the states of its engines, and what they take and do."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from appliance.domain.fleet import Fleet
from appliance.telemetry.engine_figures import EngineFiguresCollector, EngineStates


class PackMetrics:
    """Owns one registry. `models` are the pool's ids."""

    def __init__(self, *, models: Collection[str], fleet: Fleet) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(EngineStates(fleet, frozenset(models)))
        self._registry.register(EngineFiguresCollector(fleet))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
