"""Lines of waiting calls, read from the dispatcher when Prometheus asks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from appliance.telemetry.engine_figures import OTHER

LAST_LEVEL: Final = 12
"""Of waiting calls: requests that have about 130 calls or more to go."""


class Lines(Collector):
    """Waiting calls, read from the dispatcher when Prometheus asks."""

    def __init__(
        self,
        levels: Callable[[], Mapping[tuple[str, int], int]],
        oldest_s: Callable[[], Mapping[str, float]],
        models: Collection[str],
    ) -> None:
        self._levels = levels
        self._oldest_s = oldest_s
        self._models = models

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Every model and level, zeros included; what lies above the last level counts there."""
        counts = {(model, level): 0 for model in sorted(self._models) for level in range(LAST_LEVEL + 1)}
        for (model, level), count in self._levels().items():
            key = self._known(model), min(level, LAST_LEVEL)
            counts[key] = counts.get(key, 0) + count
        waiting = GaugeMetricFamily(
            "appliance_calls_waiting",
            "Calls that wait for an engine, by the level of their request (0: little left, goes first)",
            labels=["model", "level"],
        )
        for (model, level), count in counts.items():
            waiting.add_metric([model, str(level)], count)
        waits_s = dict.fromkeys(sorted(self._models), 0.0)
        for model, wait_s in self._oldest_s().items():
            waits_s[self._known(model)] = max(waits_s.get(self._known(model), 0.0), wait_s)
        oldest = GaugeMetricFamily(
            "appliance_calls_longest_wait_seconds", "Wait of the call that waits longest", labels=["model"]
        )
        for model, wait_s in waits_s.items():
            oldest.add_metric([model], wait_s)
        return [waiting, oldest]

    def _known(self, model: str) -> str:
        return model if model in self._models else OTHER
