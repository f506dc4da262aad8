"""Names of figures, and objectives for them: `e2e_p95_s: 12`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

METRICS: Final = {
    "ttft": "time to first token",
    "itl": "mean time between tokens (time per output token)",
    "icl": "time between two pieces of the stream",
    "e2e": "request latency, to the last byte",
    "first_role_event": "time until the coordinator told of its work",
}
STATISTICS: Final = ("mean", "p50", "p90", "p95", "p99")
_SAME: Final = {"tpot": "itl", "latency": "e2e", "request_latency": "e2e"}
_NAME: Final = re.compile(rf"(?P<metric>[a-z0-9_]+)_(?P<statistic>{'|'.join(STATISTICS)})_s")


@dataclass(frozen=True, slots=True)
class Figure:
    """A statistic of a metric, in seconds."""

    metric: str
    statistic: str

    @property
    def name(self) -> str:
        """As it is written."""
        return f"{self.metric}_{self.statistic}_s"


@dataclass(frozen=True, slots=True)
class Objective:
    """A figure that should be at most `bound_s`. A single request is good where its own value is."""

    figure: Figure
    bound_s: float


def figure_of(name: str) -> Figure:
    """Read one name. Raises ValueError that says what names there are."""
    found = _NAME.fullmatch(name)
    metric = found and _SAME.get(found["metric"], found["metric"])
    if found is None or metric not in METRICS:
        raise ValueError(
            f"{name!r} is no figure; one is written METRIC_STATISTIC_s, with {', '.join(METRICS)} and "
            f"{', '.join(STATISTICS)}: e2e_p95_s"
        )
    return Figure(metric, found["statistic"])


def objectives(said: Mapping[str, float]) -> tuple[Objective, ...]:
    """Read names with bounds. Raises ValueError."""
    found = tuple(Objective(figure_of(name), bound_s) for name, bound_s in said.items())
    for one in found:
        if not one.bound_s > 0:
            raise ValueError(f"{one.figure.name}: {one.bound_s:g} can't be met; give a time above 0")
    return found
