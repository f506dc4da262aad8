"""States of engines, and what they take and do, read from the fleet when Prometheus asks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from appliance.domain.engine import EngineState
from appliance.domain.fleet import EngineFigures, Fleet

OTHER: Final = "other"
"""Label value of everything that is not known beforehand."""

_FIGURES: Final = (
    ("measured_bytes", "appliance_engine_memory_measured_bytes", "Memory of an engine per GPU, as measured"),
    ("planned_bytes", "appliance_engine_memory_planned_bytes", "Memory of an engine per GPU, as planned"),
    ("kv_used_share", "appliance_engine_kv_usage", "Share of an engine's KV cache that is in use"),
    ("kv_tokens", "appliance_engine_kv_tokens", "Tokens that an engine's KV cache holds"),
    ("running_requests", "appliance_engine_requests_running", "Requests that an engine works on"),
    ("waiting_requests", "appliance_engine_requests_waiting", "Requests that wait in an engine"),
    ("tokens_per_s", "appliance_engine_tokens_per_second", "Tokens that an engine generates"),
)


NAMES: Final = frozenset(metric for _, metric, _ in _FIGURES)
"""Every worker process reads them from the same fleet."""


class EngineFiguresCollector(Collector):
    """Labels are engine and model, which the plan bounds; what is not known has no sample."""

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


class EngineStates(Collector):
    """Engines by model and state, read from the fleet when Prometheus asks."""

    def __init__(self, fleet: Fleet, models: Collection[str]) -> None:
        self._fleet = fleet
        self._models = models

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """One sample for each model and state, zeros included, so that alerts can compare."""
        counts = {(model, state): 0 for model in sorted(self._models) for state in EngineState}
        for engine in self._fleet.snapshot.engines:
            key = (engine.model_id if engine.model_id in self._models else OTHER, engine.state)
            counts[key] = counts.get(key, 0) + 1
        family = GaugeMetricFamily("appliance_engines", "Engines by model and state", labels=["model", "state"])
        for (model, state), count in counts.items():
            family.add_metric([model, state.value], count)
        return [family]
