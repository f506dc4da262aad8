"""Prometheus' text of several worker processes → the text of all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import add
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from appliance.telemetry import engine_figures

SAME: Final = frozenset({"appliance_engines"}) | engine_figures.NAMES
"""Gauges that every worker reads from the same place: the first word counts."""
LARGEST: Final = frozenset({"appliance_calls_longest_wait_seconds", "process_max_fds", "process_start_time_seconds"})
"""Gauges whose largest value is the one to know; all others are added."""
_ADDED_FOR_EVER = frozenset({"counter", "histogram", "summary"})
"""Kinds that must not fall when a worker has ended."""


class Exposition(Collector):
    """A sum that can be added to and printed."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._families: dict[str, Metric] = {}
        self._values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
        for text in texts:
            self.add(text)

    def add(self, text: str, *, ended: bool = False) -> None:
        """Add what one process says. `ended`: it is there no more, so that only what it has counted is kept."""
        for family in text_string_to_metric_families(text):
            if ended and family.type not in _ADDED_FOR_EVER:
                continue
            self._families.setdefault(family.name, family)
            values = self._values.setdefault(family.name, {})
            join = _join_of(family.name)
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                values[key] = join(values[key], sample.value) if key in values else sample.value

    def collect(self) -> Iterable[Metric]:
        """For prometheus_client."""
        for name, family in self._families.items():
            whole = Metric(family.name, family.documentation, family.type)
            whole.samples = [
                Sample(sample, dict(labels), value) for (sample, labels), value in self._values[name].items()
            ]
            yield whole

    def text(self) -> str:
        """In Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry).decode()


def _join_of(name: str) -> Callable[[float, float], float]:
    if name in SAME:
        return lambda before, _: before
    return max if name in LARGEST else add
