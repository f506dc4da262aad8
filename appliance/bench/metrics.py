"""Records → figures, under AIPerf's names and by its definitions where it has them. Pure.

TTFT, ITL (others call it TPOT), request latency (E2E), inter-chunk latency, request throughput and output token
throughput (both over the time from the first request's due time to the last answer's end), goodput (answers that keep
every objective, per second of the same time). Latencies count from when a request was due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from appliance.bench.objective import STATISTICS, Figure, Objective
from appliance.bench.records import RequestRecord

Values = NDArray[np.float64]
_MOST_ERRORS: Final = 5


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one metric; percentiles by linear interpolation."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    least: float
    most: float

    def as_document(self) -> dict[str, float]:
        """For JSON."""
        names = ("mean", *STATISTICS[1:], "least", "most")
        return {"count": self.count, **{name: round(float(getattr(self, name)), 6) for name in names}}


@dataclass(frozen=True, slots=True)
class Kept:
    """An objective, and what came of it; None where no answer has the metric."""

    objective: Objective
    value_s: float | None

    @property
    def kept(self) -> bool:
        """Whether it was."""
        return self.value_s is not None and self.value_s <= self.objective.bound_s

    @property
    def words(self) -> str:
        """What came of it beside what was wanted."""
        value = "no value" if self.value_s is None else f"{self.value_s:.3f} s"
        return f"{self.objective.figure.name} {value}, objective {self.objective.bound_s:g} s"

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "figure": self.objective.figure.name,
            "bound_s": self.objective.bound_s,
            "value_s": None if self.value_s is None else round(self.value_s, 6),
            "kept": self.kept,
        }


@dataclass(frozen=True, slots=True)
class Figures:
    """Of some requests. `metrics` are seconds but for the tokens. `lag` is the generator's own lateness."""

    requests: int
    answered: int
    duration_s: float
    metrics: Mapping[str, Summary]
    output_tokens: int
    good: int
    objectives: tuple[Kept, ...]
    errors: Mapping[str, int]
    gpu_s_per_request: float | None

    @property
    def failed(self) -> int:
        """Without an answer."""
        return self.requests - self.answered

    @property
    def request_throughput_per_s(self) -> float:
        """Answers a second."""
        return self.answered / self.duration_s if self.duration_s else 0.0

    @property
    def output_token_throughput_per_s(self) -> float:
        """Tokens of answers a second."""
        return self.output_tokens / self.duration_s if self.duration_s else 0.0

    @property
    def goodput_per_s(self) -> float:
        """Good answers a second."""
        return self.good / self.duration_s if self.duration_s else 0.0

    def value(self, figure: Figure) -> float | None:
        """One figure by its name; None where no answer has it."""
        summary = self.metrics.get(figure.metric)
        return None if summary is None else float(getattr(summary, figure.statistic))

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "requests": self.requests,
            "answered": self.answered,
            "failed": self.failed,
            "duration_s": round(self.duration_s, 6),
            "request_throughput_per_s": round(self.request_throughput_per_s, 6),
            "output_token_throughput_per_s": round(self.output_token_throughput_per_s, 6),
            "goodput_per_s": round(self.goodput_per_s, 6),
            "good": self.good,
            "gpu_s_per_request": self.gpu_s_per_request,
            "objectives": [kept.as_document() for kept in self.objectives],
            "metrics": {name: summary.as_document() for name, summary in self.metrics.items()},
            "errors": dict(self.errors),
        }


def figures(records: Sequence[RequestRecord], objectives: Sequence[Objective] = ()) -> Figures:
    """Of these requests; those without an answer count in the throughput's time and in no latency."""
    answered = [record for record in records if record.ok]
    begins_s = min((record.due_s for record in records), default=0.0)
    ends_s = max((record.ended_s for record in records), default=0.0)
    metrics = {name: summary(values) for name in _METRICS if len(values := values_of(name, answered))}
    metrics["lag"] = summary(np.asarray([record.lag_s for record in records], dtype=np.float64))
    gpu_s = [record.gpu_s for record in answered if record.gpu_s is not None]
    found = Figures(
        requests=len(records),
        answered=len(answered),
        duration_s=ends_s - begins_s,
        metrics=metrics,
        output_tokens=sum(record.output_tokens for record in answered),
        good=sum(is_good(record, objectives) for record in answered),
        objectives=(),
        errors=dict(Counter(record.error for record in records if record.error).most_common(_MOST_ERRORS)),
        gpu_s_per_request=round(sum(gpu_s) / len(gpu_s), 6) if gpu_s else None,
    )
    kept = tuple(Kept(objective, found.value(objective.figure)) for objective in objectives)
    return Figures(**{**{name: getattr(found, name) for name in Figures.__slots__}, "objectives": kept})


def summary(values: Values) -> Summary:
    """Of numbers; zeros of none."""
    if not len(values):
        return Summary(0, *([0.0] * 7))
    p50, p90, p95, p99 = np.percentile(values, [50, 90, 95, 99]).tolist()
    return Summary(len(values), float(values.mean()), p50, p90, p95, p99, float(values.min()), float(values.max()))


def values_of(metric: str, records: Iterable[RequestRecord]) -> Values:
    """What the requests have of a metric: one value each, or one for each gap of a stream."""
    if metric == "icl":
        return np.asarray([gap for record in records for gap in record.gaps_s], dtype=np.float64)
    found = (value_of(metric, record) for record in records)
    return np.asarray([value for value in found if value is not None], dtype=np.float64)


def value_of(metric: str, record: RequestRecord) -> float | None:
    """A request's own value of a metric, None where it has none; the longest gap of a stream."""
    match metric:
        case "ttft":
            return record.ttft_s
        case "itl":
            return record.itl_s
        case "icl":
            return max(record.gaps_s, default=None)
        case "e2e":
            return record.e2e_s
        case "first_role_event":
            return record.first_role_event_s
        case "calls":
            return record.calls
        case "prompt_tokens":
            return record.prompt_tokens
        case "output_tokens":
            return record.output_tokens
        case "completion_tokens":
            return record.completion_tokens
    raise ValueError(f"no metric {metric!r}")


_METRICS: Final = (
    "ttft",
    "itl",
    "icl",
    "e2e",
    "first_role_event",
    "calls",
    "prompt_tokens",
    "output_tokens",
    "completion_tokens",
)


def is_good(record: RequestRecord, objectives: Sequence[Objective]) -> bool:
    """Whether it was answered and keeps every objective that it has a value of."""
    own = ((value_of(objective.figure.metric, record), objective.bound_s) for objective in objectives)
    return record.ok and all(value is None or value <= bound_s for value, bound_s in own)
