"""What is sent when to validate the simulator, and what the simulator says of it. No I/O."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Final

from appliance.capacity.outcome import percentile
from appliance.capacity.profile import Profile
from appliance.capacity.setup import Arrival, EnginePlace, Setup
from appliance.capacity.simulator import simulate
from appliance.domain.strategy import PASSTHROUGH, PLAN_EXECUTE_VERIFY

QUESTIONS: Final = 60
TRAFFIC: Final = {
    "direct": {PASSTHROUGH: 1.0},
    "orchestrated": {PLAN_EXECUTE_VERIFY: 1.0},
    "mixed": {PASSTHROUGH: 0.7, PLAN_EXECUTE_VERIFY: 0.3},
}
LOADS: Final = (0.3, 0.6, 0.8, 1.0, 1.25, 1.6)
"""Rates, in parts of the highest one that the simulator thinks the SLO allows."""
SLO_FACTOR: Final = 2.5
"""The SLO: P95 of at most so many times the longest tenth of single requests."""


@dataclass(frozen=True, slots=True)
class Load:
    """One load: what is sent when. `draws` are (due second, class of traffic, number of the question)."""

    traffic: str
    part: float
    rate: float
    draws: tuple[tuple[float, str, int], ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run of a load. Seconds; throughput is of answered requests, until the last answer."""

    throughput: float
    e2e_mean: float
    e2e_p95: float
    e2e_p99: float
    ttft_mean: float
    failed: int


def figures(times: Sequence[tuple[float, float, float]], failed: int) -> Figures:
    """From (due, first token, end) of each answered request."""
    if not times:
        return Figures(0.0, 0.0, 0.0, 0.0, 0.0, failed)
    whole = sorted(end - due for due, _, end in times)
    seconds = max(end for _, _, end in times) - min(due for due, _, _ in times)
    ttft = mean(first - due for due, first, _ in times)
    return Figures(len(times) / seconds, mean(whole), percentile(whole, 95), percentile(whole, 99), ttft, failed)


def setup_of(profile: Profile) -> Setup:
    """All engines and the coordinator on one machine."""
    places = tuple(EnginePlace(engine.model_id, engine, "cpu") for engine in profile.engines)
    return Setup(places, coordinator="cpu", coordinator_share=profile.engines[0].server_share)


def predicted(profile: Profile, load: Load, slowness: float = 1.0) -> Figures:
    """As simulated, with the trees of the questions that are asked, where everything takes `slowness` times as long.

    That is the same as requests that come so many times faster, in time that passes so many times more slowly.
    """
    arrivals = (Arrival(at / slowness, kind, profile.trees_of(kind)[n]) for at, kind, n in load.draws)
    outcome = simulate(setup_of(profile), arrivals)
    ended = [(r.at_s, r.first_s or 0.0, r.ended_s) for r in outcome.requests if r.ended_s is not None]
    times = [(due * slowness, first * slowness, end * slowness) for due, first, end in ended]
    return figures(times, outcome.failed())


def load_of(traffic: str, part: float, rate: float, seconds: float, seed: int) -> Load:
    """A Poisson process."""
    draw, at, draws = random.Random(seed), 0.0, []
    mix = TRAFFIC[traffic]
    while (at := at + draw.expovariate(rate)) < seconds:
        kind = draw.choices(list(mix), list(mix.values()))[0]
        draws.append((at, kind, draw.randrange(QUESTIONS)))
    return Load(traffic, part, rate, tuple(draws))


def slo_of(profile: Profile, traffic: str) -> float:
    """Seconds for the P95."""
    alone = [
        end - due for kind in TRAFFIC[traffic] for n in range(QUESTIONS) for due, end in [_alone(profile, kind, n)]
    ]
    return SLO_FACTOR * percentile(sorted(alone), 90)


def _alone(profile: Profile, kind: str, number: int) -> tuple[float, float]:
    (request,) = simulate(setup_of(profile), [Arrival(0.0, kind, profile.trees_of(kind)[number])]).requests
    return 0.0, request.ended_s or 0.0


def knee_of(profile: Profile, traffic: str, slo_s: float, seconds: float) -> float:
    """The highest rate whose P95 is under the SLO, as the simulator sees it: the median of several seeds."""
    return sorted(_knee(profile, traffic, slo_s, seconds, seed) for seed in range(9))[4]


def _knee(profile: Profile, traffic: str, slo_s: float, seconds: float, seed: int) -> float:
    low, high = 0.05, 200.0
    while high / low > 1.02:
        middle = (low * high) ** 0.5
        found = predicted(profile, load_of(traffic, 1.0, middle, seconds, seed))
        low, high = (middle, high) if found.failed == 0 and found.e2e_p95 <= slo_s else (low, middle)
    return low
