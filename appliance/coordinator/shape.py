"""How many calls of which model a request is expected to make, by strategy: learned where it was seen, else reckoned.

Pure. What the options leave out (repairs, verification) is left out of what was learned too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.statistics import StrategyFigures
from appliance.domain.model import Role
from appliance.domain.strategy import BEST_OF_N, CASCADE, PASSTHROUGH, PLANNED, SELF_CONSISTENCY

Counts = Mapping[tuple[Role, str], float]

_BY_TASK = (Role.EXECUTOR, Role.VERIFIER)
_RARE = 0.005
"""Calls that fewer requests than this make are left out."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Calls by role and model, the tasks of the plan (0: there is none), and how many tasks run at once at most."""

    calls: Counts
    tasks: float
    width: float


def expected_shape(
    strategy: str, options: CoordinatorOptions, figures: StrategyFigures, model: str, chars: int, tasks: int | None
) -> Shape:
    """Of a request of so many characters. `model` answers it in one call where the strategy does; `tasks` of a plan
    that is known already.
    """
    planned = strategy in PLANNED
    expected = float(tasks) if tasks is not None else min(figures.tasks_of(chars), options.budget.tasks)
    reckoned = _reckoned(strategy, options, model, expected)
    if not figures.requests or strategy == PASSTHROUGH:
        calls = reckoned
    else:
        scale = expected / max(1.0, figures.tasks.value) if planned else 1.0
        calls = _bounded(_learned(figures, scale), _most(strategy, options, expected))
    width = expected if planned else sum(count for (role, _), count in calls.items() if role is Role.GENERALIST)
    return Shape(calls, expected if planned else 0.0, width)


def _learned(figures: StrategyFigures, scale: float) -> Counts:
    """Of a usual request; `scale` times the calls that each task makes."""
    return {
        key: mean.value * (scale if key[0] in _BY_TASK else 1.0)
        for key, mean in figures.calls.items()
        if mean.value > _RARE
    }


def _reckoned(strategy: str, options: CoordinatorOptions, model: str, tasks: float) -> Counts:
    """Of a strategy that was not seen yet."""
    generalists, roles = options.roles.generalist, options.roles
    verdicts = {(Role.VERIFIER, roles.verifier[0]): 1.0} if options.verification.enabled and roles.verifier else {}
    if strategy in PLANNED:
        return _reckoned_plan(options, tasks)
    if strategy == BEST_OF_N:
        drawn = _drawn(options.best_of_n.models or generalists[:1], options.best_of_n.candidates)
        return {**drawn, **{key: float(options.best_of_n.candidates) for key in verdicts}}
    if strategy == SELF_CONSISTENCY:
        return _drawn(options.self_consistency.models or generalists[:1], options.self_consistency.samples)
    if strategy == CASCADE:
        models = options.cascade.models or tuple(reversed(generalists))
        return {**{(Role.GENERALIST, name): 0.5**index for index, name in enumerate(models)}, **verdicts}
    return {(Role.GENERALIST, model): 1.0}


def _drawn(models: tuple[str, ...], count: int) -> Counts:
    """So many answers, by models that take turns."""
    return {(Role.GENERALIST, name): count / len(models) for name in models}


def _reckoned_plan(options: CoordinatorOptions, tasks: float) -> Counts:
    """One plan, a first attempt of each task, spread over the skills, a verdict on each, the synthesis."""
    roles = options.roles
    counts: dict[tuple[Role, str], float] = {}
    for models in roles.executors.values():
        key = Role.EXECUTOR, models[0]
        counts[key] = counts.get(key, 0.0) + tasks / len(roles.executors)
    if roles.planner:
        counts[Role.PLANNER, roles.planner[0]] = 1.0
    if options.verification.enabled and roles.verifier:
        counts[Role.VERIFIER, roles.verifier[0]] = tasks
    if roles.synthesizer:
        counts[Role.SYNTHESIZER, roles.synthesizer[0]] = 1.0
    return counts


def _most(strategy: str, options: CoordinatorOptions, tasks: float) -> Mapping[Role, float]:
    """The most calls of a role that the options allow, where they do limit it."""
    verification = options.verification
    if strategy in PLANNED:
        attempts = tasks * (1 + verification.repair_attempts) * (1 + verification.replans)
        return {Role.EXECUTOR: attempts, Role.VERIFIER: attempts if verification.enabled else 0.0}
    if strategy == BEST_OF_N:
        count = float(options.best_of_n.candidates)
        return {Role.GENERALIST: count, Role.VERIFIER: count}
    if strategy == SELF_CONSISTENCY:
        return {Role.GENERALIST: float(options.self_consistency.samples)}
    return {}


def _bounded(counts: Counts, most: Mapping[Role, float]) -> Counts:
    """Not more than that, each model's calls in the same share."""
    sums: dict[Role, float] = {}
    for (role, _), count in counts.items():
        sums[role] = sums.get(role, 0.0) + count
    bounded = {
        (role, model_id): count * min(1.0, most.get(role, sums[role]) / sums[role])
        for (role, model_id), count in counts.items()
    }
    return {key: count for key, count in bounded.items() if count > 0}
