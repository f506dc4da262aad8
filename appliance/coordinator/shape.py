"""How many calls of which model a request is expected to make, by strategy: learned where it was seen, else reckoned.

Pure. What the options leave out (repairs, verification) is left out of what was learned too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.statistics import StrategyFigures
from appliance.domain.model import Role
from appliance.domain.strategy import PASSTHROUGH, PLAN_EXECUTE_VERIFY

Counts = Mapping[tuple[Role, str], float]

_BY_TASK = (Role.EXECUTOR, Role.VERIFIER)


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
    planned = strategy == PLAN_EXECUTE_VERIFY
    expected = float(tasks) if tasks is not None else min(figures.tasks_of(chars), options.budget.tasks)
    reckoned = _reckoned_plan(options, expected) if planned else {(Role.GENERALIST, model): 1.0}
    if not figures.requests or strategy == PASSTHROUGH:
        return Shape(reckoned, expected if planned else 0.0, expected if planned else 1.0)
    scale = expected / max(1.0, figures.tasks.value) if planned else 1.0
    learned = {
        key: mean.value * (scale if key[0] in _BY_TASK else 1.0)
        for key, mean in figures.calls.items()
        if mean.value > 0.005
    }
    calls = _bounded(learned, options, expected) if planned else learned
    return Shape(calls, expected if planned else 0.0, expected if planned else sum(calls.values()))


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


def _bounded(learned: Counts, options: CoordinatorOptions, tasks: float) -> Counts:
    """Not more than the options allow."""
    verification = options.verification
    attempts = tasks * (1 + verification.repair_attempts) * (1 + verification.replans)
    most = {Role.EXECUTOR: attempts, Role.VERIFIER: attempts if verification.enabled else 0.0}
    counts: dict[tuple[Role, str], float] = {}
    for (role, model_id), count in learned.items():
        of_role = sum(value for (other, _), value in learned.items() if other is role)
        counts[role, model_id] = count * min(1.0, most.get(role, of_role) / of_role)
    return {key: count for key, count in counts.items() if count > 0}
