"""Another plan for what runs: mended where it must change, solved anew where it may. Blocks for seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.bootstrap.lineup import Lineup
from appliance.bootstrap.planning import problem_of
from appliance.bootstrap.sighting import Sighting
from appliance.domain.demand import Demand
from appliance.domain.placement import PlacementPlan, PlannedEngine, Unplaceable
from appliance.placement.continuation import continued
from appliance.placement.problem import Problem
from appliance.placement.trouble import Trouble, staying


@dataclass(frozen=True, slots=True)
class NewPlan:
    """In the names of the running one, which keeps up with `now_per_s` requests as things are. `left_out` tells which
    models have no engine any more."""

    plan: PlacementPlan
    now_per_s: float | None
    left_out: tuple[str, ...] = ()


def mended(lineup: Lineup, look: Sighting, found: Sequence[Trouble], demand: Demand) -> NewPlan | Unplaceable:
    """A plan without the troubles; engines that these do not touch stay as they are, where that is possible.

    1. Only what has to move is placed anew.
    2. Everything is placed anew.
    3. As 1, without models that have no engine and then without those that lost one, the largest of them first, until
       the others fit.
    """
    from appliance.placement.repair import repair  # OR-tools, which the CPU need not load
    from appliance.placement.solver import solve

    problem, running = _problem(lineup, look, demand)
    stay = staying(running, found, look.seen)
    answer = repair(problem, stay)
    if isinstance(answer, Unplaceable):
        answer = solve(problem, seek_remedies=False)
    if isinstance(answer, PlacementPlan):
        return NewPlan(continued(answer, running), None, _without_engine(problem, answer))
    return _with_less(problem, running, stay) or _refusal(solve(problem), answer)


def solved(lineup: Lineup, look: Sighting, demand: Demand) -> NewPlan | Unplaceable:
    """The best plan for the machine as it is and for `demand`."""
    from appliance.placement.prepared import prepare  # OR-tools, which the CPU need not load
    from appliance.placement.solver import solve
    from appliance.placement.sustained import sustained

    problem, running = _problem(lineup, look, demand)
    answer = solve(problem, seek_remedies=False)
    if isinstance(answer, Unplaceable):
        return _with_less(problem, running, running.engines) or answer
    now = sustained(prepare(problem), running.engines).rate
    return NewPlan(continued(answer, running), now, _without_engine(problem, answer))


def _problem(lineup: Lineup, look: Sighting, demand: Demand) -> tuple[Problem, PlacementPlan]:
    assert lineup.plan is not None
    return problem_of(lineup.settings, None, lineup.plan, site=look.site, demand=demand), lineup.plan


def _with_less(problem: Problem, running: PlacementPlan, stay: Sequence[PlannedEngine]) -> NewPlan | None:
    from appliance.placement.remedies import without
    from appliance.placement.repair import repair

    placed = {engine.model_id for engine in running.engines}
    absent = sorted(
        (wanted for wanted in problem.models if wanted.model_id not in placed),
        key=lambda wanted: (-wanted.model.parameters, wanted.model_id),
    )
    sizes: dict[str, int] = {}
    for engine in running.engines:
        if engine.engine_id not in {one.engine_id for one in stay}:
            size = engine.booked_bytes * len(engine.gpu_ids)
            sizes[engine.model_id] = max(size, sizes.get(engine.model_id, 0))
    lost = sorted(sizes, key=lambda name: (-sizes[name], name))
    reduced = problem
    for model_id in (*(wanted.model_id for wanted in absent), *lost):
        reduced = without(reduced, model_id)
        answer = repair(reduced, [engine for engine in stay if engine.model_id != model_id])
        if isinstance(answer, PlacementPlan):
            return NewPlan(continued(answer, running), None, _without_engine(problem, answer))
    return None


def _refusal(told: PlacementPlan | Unplaceable, short: Unplaceable) -> Unplaceable:
    """With the reasons and ways out that were sought, which takes longer."""
    return told if isinstance(told, Unplaceable) else short


def _without_engine(problem: Problem, plan: PlacementPlan) -> tuple[str, ...]:
    placed = {engine.model_id for engine in plan.engines}
    return tuple(
        f"{wanted.model_id} has no engine any more: nothing that is left holds it beside the others"
        for wanted in problem.models
        if wanted.model_id not in placed
    )
