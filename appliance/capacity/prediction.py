"""A load on a pool, simulated under several seeds: latencies with their spread, and what the engines did. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, sqrt
from statistics import fmean, stdev
from typing import Final

from appliance.capacity.arrivals import arrivals
from appliance.capacity.outcome import Outcome, RequestTimes
from appliance.capacity.setup import EnginePlace, Setup
from appliance.capacity.simulator import simulate
from appliance.capacity.slo import Metric, Objective
from appliance.capacity.trees import TreeSample
from appliance.dispatch.admission import AdmissionLimits
from appliance.dispatch.endpoint_picker import DEFAULT_WEIGHTS, PickWeights

REQUESTS: Final = 400
"""Requests of one run, of which the first part warms up."""
WARM_UP: Final = 0.1


@dataclass(frozen=True, slots=True)
class Rules:
    """How calls are dispatched, and when a request has failed: as configured."""

    deadline_s: float
    limits: AdmissionLimits = field(default_factory=AdmissionLimits)
    weights: PickWeights = DEFAULT_WEIGHTS


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes: samples by class of traffic, their shares, and whole requests per second."""

    trees: Mapping[str, Sequence[TreeSample]]
    mix: Mapping[str, float]
    rate_per_s: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean over runs under several seeds, and its standard error."""

    mean: float
    error: float

    @property
    def low(self) -> float:
        """Of the 95% interval."""
        return max(0.0, self.mean - 2 * self.error)

    @property
    def high(self) -> float:
        """Of the 95% interval."""
        return self.mean + 2 * self.error


@dataclass(frozen=True)
class Prediction:
    """Runs under several seeds of the same load on the same pool."""

    rate_per_s: float
    outcomes: tuple[Outcome, ...]

    def estimate(self, objective: Objective, traffic: str | None = None) -> Estimate:
        """Of an objective's statistic. A request without an answer took for ever."""
        found = [objective.of(_seconds(outcome, objective.metric, traffic)) for outcome in self.outcomes]
        if inf in found:
            return Estimate(inf, 0.0)
        return Estimate(fmean(found), stdev(found) / sqrt(len(found)) if len(found) > 1 else 0.0)

    @cached_property
    def failed_share(self) -> float:
        """Requests that were refused or ran out of time, of all."""
        return sum(outcome.failed() for outcome in self.outcomes) / max(
            1, sum(len(outcome.requests) for outcome in self.outcomes)
        )

    @cached_property
    def busy(self) -> Mapping[str, float]:
        """Engine id → the part of the time that it computed."""
        uses = [use for outcome in self.outcomes for use in outcome.engines]
        return {
            engine_id: fmean(use.busy_share for use in uses if use.engine_id == engine_id)
            for engine_id in dict.fromkeys(use.engine_id for use in uses)
        }

    @cached_property
    def preemptions(self) -> Mapping[str, int]:
        """Engine id → calls that it had to set back, because its KV cache was full."""
        found: dict[str, int] = {}
        for outcome in self.outcomes:
            for use in outcome.engines:
                found[use.engine_id] = found.get(use.engine_id, 0) + use.preemptions
        return found


def predict(
    places: Sequence[EnginePlace],
    rules: Rules,
    traffic: Traffic,
    seeds: Sequence[int],
    *,
    requests: int,
    keep_calls: bool = False,
) -> Prediction:
    """Simulate `requests` of the traffic once under each seed, to the last answer."""
    setup = Setup(tuple(places), rules.limits, rules.weights, rules.deadline_s)
    until_s = requests / traffic.rate_per_s
    return Prediction(
        traffic.rate_per_s,
        tuple(
            simulate(
                setup,
                arrivals(traffic.trees, traffic.mix, traffic.rate_per_s, until_s, seed),
                keep_calls=keep_calls,
            )
            for seed in seeds
        ),
    )


def _seconds(outcome: Outcome, metric: Metric, traffic: str | None) -> list[float]:
    """Of the requests after the warm-up."""
    come = [request for request in outcome.requests if traffic in (None, request.traffic)]
    begun = outcome.requests[int(len(outcome.requests) * WARM_UP)].at_s if outcome.requests else 0.0
    return [_took(request, metric) for request in come if request.at_s >= begun]


def _took(request: RequestTimes, metric: Metric) -> float:
    if request.ended_s is None:
        return inf
    if metric is Metric.TTFT and request.first_s is not None:
        return request.first_s - request.at_s
    return request.ended_s - request.at_s
