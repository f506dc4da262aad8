"""What a simulation found: times of requests, and what engines did. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.capacity.trees import CallShape


@dataclass(frozen=True, slots=True)
class CallTimes:
    """One call of a request. Times are seconds of the simulation."""

    shape: CallShape
    engine_id: str
    asked_s: float
    sent_s: float
    ended_s: float


@dataclass(slots=True)
class RequestTimes:
    """One request. `failed` says why it has no answer; without it and without `ended_s` it was still being answered.

    `first_s` is when the caller saw the first token of the answer. `queue_s` and `engine_s` are sums over its calls.
    """

    traffic: str
    at_s: float
    first_s: float | None = None
    ended_s: float | None = None
    failed: str = ""
    queue_s: float = 0.0
    engine_s: float = 0.0
    calls: tuple[CallTimes, ...] = ()

    @property
    def took_s(self) -> float | None:
        """From its arrival to its answer."""
        return None if self.ended_s is None else self.ended_s - self.at_s


@dataclass(frozen=True, slots=True)
class EngineUse:
    """What one engine did: the part of the time that it computed, calls that ended, preemptions."""

    engine_id: str
    model_id: str
    busy_share: float
    calls: int
    preemptions: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole run of `seconds`; requests in the order in which they came."""

    requests: tuple[RequestTimes, ...]
    engines: tuple[EngineUse, ...]
    seconds: float

    def answered(
        self, traffic: str | None = None, from_s: float = 0.0, until_s: float = float("inf")
    ) -> list[RequestTimes]:
        """Those that came in this time and were answered; of one class of traffic, or all."""
        return [
            request
            for request in self.requests
            if request.ended_s is not None and from_s <= request.at_s < until_s and traffic in (None, request.traffic)
        ]

    def failed(self) -> int:
        """Requests that were refused or lost."""
        return sum(bool(request.failed) for request in self.requests)

    def busiest(self) -> EngineUse:
        """The engine of the model whose engines compute most of the time: the first bottleneck."""
        return max(self.engines, key=lambda use: use.busy_share)


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and percentiles of some seconds."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


def spread(seconds: Iterable[float]) -> Spread | None:
    """None of no values."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    return Spread(len(ordered), sum(ordered) / len(ordered), *(percentile(ordered, p) for p in (50, 90, 95, 99)))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of ascending values, between neighbours on a straight line."""
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
