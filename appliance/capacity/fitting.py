"""Measured times → the cost of a step: the costs under which the simulated engine would have taken these times. Pure.

For given costs the simulation of a load says which steps it makes; given the steps, every time is linear in the costs:
each counts as often as it occurs. So costs are found by turns (Gauss and Newton's way): simulate, see by how much each
time changes with each cost, solve for costs that are not negative, and again, until they stay. Errors count relative to
the measured time, and those that stand out count less (Huber's weights).

How long the API server is at a call, one after the other, shows in loads of many calls only, and not linearly: it is
looked for on a line, with all the other costs solved for at each of its points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from appliance.capacity.alone import Sent, Times, alone
from appliance.capacity.engine_profile import EngineProfile, StepCost
from appliance.errors import ConfigError

_COSTS = ("fixed_s", "prefill_token_s", "decode_sequence_s", "kv_token_s", "prefill_context_s")
_START = np.array([3e-3, 2e-5, 1e-4, 1e-7, 1e-9, 3e-3])
"""Costs and seconds beside the steps, to begin with."""
_SERVER_S = (0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032)
_CLOSER = 3
_ALIKE = 4
"""Digits of errors that are looked at: of times in the server that are as good, the shortest is taken."""
_LEAST_FIXED_S = 1e-6
_TURNS = 12
_SETTLED = 1e-4
_NUDGE = 1e-7
_NEGLIGIBLE = 0.01
_OUTLIER = 1.5
_COVERED = 90
_FEWEST = 6

Vector = np.ndarray


@dataclass(frozen=True, slots=True)
class Observation:
    """One load: what was sent, and the times of each call."""

    sent: tuple[Sent, ...]
    times: tuple[Times, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """The costs with their band, the seconds of a call beside its steps and in the server, the mean relative error."""

    step: StepCost
    call_s: float
    server_s: float
    error: float


def fit(engine: EngineProfile, observations: Sequence[Observation]) -> Fit:
    """The costs of this engine; its own are not looked at. Raises ConfigError for too few loads."""
    if len(observations) < _FEWEST:
        raise ConfigError(f"{engine.model_id}: {len(observations)} loads are too few to learn the cost of a step from")
    single = [each for each in observations if len(each.sent) == 1]
    engine = replace(engine, server_s=0.0)
    start = _descended(engine, single, _START)[0] if len(single) >= _FEWEST // 2 else _START
    start = np.where(start > 0, start, _START)  # what single calls can't tell apart
    server_s, costs = _with_server(engine, observations, start)
    engine = replace(engine, server_s=server_s)
    residuals = np.abs(_predicted(engine, observations, costs) / _measured(observations) - 1)
    band = float(np.percentile(residuals, _COVERED))
    return Fit(_step(costs, band), float(costs[-1]), server_s, float(np.mean(residuals)))


def _with_server(engine: EngineProfile, observations: Sequence[Observation], start: Vector) -> tuple[float, Vector]:
    """The best seconds in the server: of a few, then of those between the best and its neighbours."""
    tried: dict[float, tuple[Vector, float]] = {}

    def look_at(server_s: float) -> None:
        if server_s not in tried:
            tried[server_s] = _descended(replace(engine, server_s=server_s), observations, start)

    def best() -> float:
        return min(sorted(tried), key=lambda point: round(tried[point][1], _ALIKE))

    for server_s in _SERVER_S:
        look_at(server_s)
    for _ in range(_CLOSER):
        points = sorted(tried)
        at = points.index(best())
        for other in points[max(0, at - 1) : at] + points[at + 1 : at + 2]:
            look_at((points[at] + other) / 2)
    return best(), tried[best()][0]


def _descended(engine: EngineProfile, observations: Sequence[Observation], start: Vector) -> tuple[Vector, float]:
    """The best costs on the way from `start`, and their error; later on steps are halved, where they swing."""
    measured = _measured(observations)
    costs, best, least = start, start, np.inf
    for turn in range(_TURNS):
        base = _predicted(engine, observations, costs)
        error = float(np.mean(np.abs(base / measured - 1)))
        if error < least:
            best, least = costs, error
        slopes = _slopes(engine, observations, costs, base)
        found = _solved(slopes / measured[:, None], 1 + (slopes @ costs - base) / measured)
        found[0] = max(found[0], _LEAST_FIXED_S)
        before, costs = costs, found if turn < _TURNS // 2 else (costs + found) / 2
        if np.all(np.abs(costs - before) <= _SETTLED * np.maximum(costs, _NEGLIGIBLE * _START)):
            break
    return best, least


def _measured(observations: Sequence[Observation]) -> Vector:
    return np.array([value for each in observations for value in _means(each.times)])


def _means(times: Sequence[Times]) -> tuple[float, float]:
    return sum(each.first_s for each in times) / len(times), sum(each.whole_s for each in times) / len(times)


def _step(costs: Vector, band: float) -> StepCost:
    return StepCost(**dict(zip(_COSTS, map(float, costs), strict=False)), band=band)


def _predicted(engine: EngineProfile, observations: Sequence[Observation], costs: Vector) -> Vector:
    as_such = replace(engine, step=_step(costs, 0.0), call_s=float(costs[-1]))
    return np.array([value for each in observations for value in _means(alone(as_such, each.sent))])


def _slopes(engine: EngineProfile, observations: Sequence[Observation], costs: Vector, base: Vector) -> Vector:
    """How often each cost occurs in each time; `base` are the times themselves."""
    columns = []
    for place in range(len(costs)):
        nudged = costs.copy()
        nudged[place] += _NUDGE * max(costs[place], _START[place])
        columns.append((_predicted(engine, observations, nudged) - base) / (nudged[place] - costs[place]))
    return np.column_stack(columns)


def _solved(rows: Vector, wanted: Vector) -> Vector:
    """Non-negative costs with rows · costs ≈ wanted, by least squares with Huber's weights."""
    weights = np.ones(len(wanted))
    costs = np.zeros(rows.shape[1])
    for _ in range(8):
        costs = non_negative(rows * weights[:, None], wanted * weights)
        errors = np.abs(rows @ costs - wanted)
        usual = 1.4826 * float(np.median(errors)) + 1e-12
        weights = np.sqrt(np.minimum(1.0, _OUTLIER * usual / np.maximum(errors, 1e-12)))
    return costs


def non_negative(rows: Vector, wanted: Vector) -> Vector:
    """The least squares over non-negative values, by Lawson and Hanson's active sets (1974, chapter 23)."""
    scale = np.maximum(np.sqrt((rows**2).sum(axis=0)), 1e-300)
    rows = rows / scale
    values, free = np.zeros(rows.shape[1]), np.zeros(rows.shape[1], dtype=bool)
    for _ in range(10 * rows.shape[1]):
        pull = rows.T @ (wanted - rows @ values)
        pull[free] = -np.inf
        if pull.max(initial=-np.inf) <= 1e-10:
            break
        free[int(np.argmax(pull))] = True
        while True:
            best = np.zeros_like(values)
            best[free] = np.linalg.lstsq(rows[:, free], wanted, rcond=None)[0]
            below = free & (best <= 0)
            if not below.any():
                break
            step = np.min(values[below] / np.maximum(values[below] - best[below], 1e-300))
            values = values + step * (best - values)
            free &= values > 1e-14
            values[~free] = 0.0
        values = best
    found: Vector = values / scale
    return found
