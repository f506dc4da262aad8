"""What engines take and do, as the fleet's figures say it when Prometheus asks; what is not known has no sample."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from appliance.domain.fleet import EngineFigures, Fleet

_FIGURES: Final = (
    ("measured_bytes", "appliance_engine_memory_measured_bytes", "Memory of an engine per GPU, as measured"),
    ("planned_bytes", "appliance_engine_memory_planned_bytes", "Memory of an engine per GPU, as planned"),
    ("kv_used_share", "appliance_engine_kv_usage", "Share of an engine's KV cache that is in use"),
    ("kv_tokens", "appliance_engine_kv_tokens", "Tokens that an engine's KV cache holds"),
    ("running_requests", "appliance_engine_requests_running", "Requests that an engine works on"),
    ("waiting_requests", "appliance_engine_requests_waiting", "Requests that wait in an engine"),
    ("tokens_per_s", "appliance_engine_tokens_per_second", "Tokens that an engine generates"),
)


class EngineFiguresCollector(Collector):
    """Labels are engine and model: the plan bounds both."""

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
