"""Prometheus metrics of a pack: the states of its engines, and what they take and do."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from appliance.domain.fleet import EngineFigures, Fleet
from appliance.telemetry.metrics import EngineStates

_FIGURES = (
    ("measured_bytes", "appliance_engine_memory_measured_bytes", "Memory of an engine per GPU, as measured"),
    ("planned_bytes", "appliance_engine_memory_planned_bytes", "Memory of an engine per GPU, as planned"),
    ("running_requests", "appliance_engine_requests_running", "Requests that an engine works on"),
    ("waiting_requests", "appliance_engine_requests_waiting", "Requests that wait in an engine"),
    ("tokens_per_s", "appliance_engine_tokens_per_second", "Tokens that an engine generates"),
    ("kv_used_share", "appliance_engine_kv_used_ratio", "Part of an engine's KV cache that is in use"),
)


class PackMetrics:
    """Owns one registry. `models` are the pool's ids."""

    def __init__(self, *, models: Collection[str], fleet: Fleet) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(EngineStates(fleet, frozenset(models)))
        self._registry.register(_Figures(fleet))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Figures(Collector):
    """As last sampled; what is not known has no sample."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """One family for each figure."""
        engines = self._fleet.snapshot.engines
        for name, metric, text in _FIGURES:
            family = GaugeMetricFamily(metric, text, labels=["engine", "model"])
            for engine in engines:
                value = _value(self._fleet.figures_of(engine.engine_id), name)
                if value is not None:
                    family.add_metric([engine.engine_id, engine.model_id], value)
            yield family


def _value(figures: EngineFigures, name: str) -> float | None:
    value: float | None = getattr(figures, name)
    return value
