"""Service level objectives as they are written: `p95<12s`, `ttft_p95<800ms`, `p99<20s,ttft_p50<1s`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite, isnan
from statistics import fmean
from typing import Final

from appliance.capacity.outcome import percentile
from appliance.errors import ConfigError

EXAMPLES: Final = "p95<12s, ttft_p95<800ms, or several with commas: p99<20s,ttft_p50<1s"

_UNITS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0}
_FORM: Final = re.compile(
    r"^(?:(?P<metric>[a-z0-9]+)_)?(?P<statistic>p[0-9]+(?:\.[0-9]+)?|mean)\s*<=?\s*(?P<number>[0-9]*\.?[0-9]+)\s*"
    r"(?P<unit>[a-z]*)$"
)


class Metric(StrEnum):
    """What is limited: the whole answer, or the wait for the first token of it."""

    E2E = "e2e"
    TTFT = "ttft"


@dataclass(frozen=True, slots=True)
class Objective:
    """A statistic of a metric is to stay below `limit_s`. `percentile` is in (0, 100); None: the mean."""

    metric: Metric
    percentile: float | None
    limit_s: float

    @property
    def name(self) -> str:
        """Without the limit: `p95`, `ttft_p50`, `mean`."""
        statistic = "mean" if self.percentile is None else f"p{self.percentile:g}"
        return statistic if self.metric is Metric.E2E else f"{self.metric}_{statistic}"

    def __str__(self) -> str:
        """As it could have been written."""
        return f"{self.name}<{self.limit_s:g}s"

    def of(self, values: Sequence[float]) -> float:
        """The statistic of some latencies; of none, or where too many are infinite, it is infinite."""
        if not values:
            return inf
        found = fmean(values) if self.percentile is None else percentile(sorted(values), self.percentile)
        return inf if isnan(found) else found  # between two infinite neighbours lies no number


def parse_slo(text: str) -> tuple[Objective, ...]:
    """All objectives; each has to hold. Raises ConfigError with the part that can't be read."""
    parts = [part.strip() for part in text.split(",")]
    objectives = tuple(_objective(text, part) for part in parts if part)
    if not objectives:
        raise ConfigError(f"--slo {text!r}: says nothing; write it like {EXAMPLES}")
    names = [objective.name for objective in objectives]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"--slo {text}: {twice} stands twice; leave one of them")
    return objectives


def _objective(text: str, part: str) -> Objective:
    found = _FORM.match(part.lower())
    if found is None:
        raise ConfigError(f"--slo {text}: {part!r} is no objective; write it like {EXAMPLES}")
    metric = found["metric"] or Metric.E2E
    if metric not in set(Metric):
        raise ConfigError(f"--slo {text}: there is no metric {metric}; name one of {', '.join(Metric)}")
    if found["unit"] not in _UNITS:
        raise ConfigError(f"--slo {text}: {part!r} needs a unit after its number: one of {', '.join(_UNITS)}")
    percent = None if found["statistic"] == "mean" else float(found["statistic"][1:])
    if percent is not None and not 0 < percent < 100:
        raise ConfigError(f"--slo {text}: {found['statistic']}: a percentile lies between 0 and 100")
    limit_s = float(found["number"]) * _UNITS[found["unit"]]
    if not limit_s > 0 or not isfinite(limit_s):
        raise ConfigError(f"--slo {text}: {part!r}: the limit is more than 0")
    return Objective(Metric(metric), percent, limit_s)
