"""Inventory, models, demand and constraints → a placement plan, or the reasons why there is none.

1. The roles' first models give each model its calls (`assignment.py`).
2. Models, kinds of slots and KV levels become shapes (`candidates.py`), the nodes become slots (`devices.py`).
3. The packing is solved (`packing_search.py`); where not all fit, again with engines that take turns, and then without
   models that may be left out.
4. What stays free on each GPU goes to the KV caches (`plan_building.py`).
5. Where nothing fits, the smallest changes that would help are sought (`remedies.py`).
"""

from __future__ import annotations

from dataclasses import replace

from appliance.domain.demand import Demand
from appliance.domain.placement import PlacementPlan, Unplaceable
from appliance.placement.packing import Packed
from appliance.placement.packing_search import Effort, feasible, pack
from appliance.placement.plan_building import build_plan
from appliance.placement.prepared import Prepared, prepare
from appliance.placement.problem import Problem
from appliance.placement.remedies import unplaceable, without


def solve(problem: Problem, effort: Effort | None = None, *, seek_remedies: bool = True) -> PlacementPlan | Unplaceable:
    """The plan; the same for the same input. Without `seek_remedies` a refusal comes quickly and says no more."""
    left_out: list[str] = []
    current = problem
    while True:
        found = _attempt(current, effort)
        if found is not None:
            prepared, packed = found
            return build_plan(prepared, packed, tuple(left_out))
        optional = _dispensable(current)
        if optional is None:
            return unplaceable(problem, fits) if seek_remedies else Unplaceable(("not all models fit",))
        left_out.append(optional)
        current = without(current, optional)


def fits(problem: Problem) -> bool:
    """Whether all models can be placed, whatever the rate."""
    packing = prepare(replace(problem, demand=Demand(), running=None)).packing
    if feasible(packing):
        return True
    return problem.constraints.turns and feasible(replace(packing, turns=True))


def _attempt(problem: Problem, effort: Effort | None) -> tuple[Prepared, Packed] | None:
    """All awake, or else some by turns."""
    prepared = prepare(problem)
    packed = pack(prepared.packing, effort)
    if packed is None and problem.constraints.turns:
        turning = replace(prepared, packing=replace(prepared.packing, turns=True))
        packed = pack(turning.packing, effort)
        prepared = turning
    return None if packed is None else (prepared, packed)


def _dispensable(problem: Problem) -> str | None:
    """The last model of the pool that may be left out and is not the only one of a role."""
    alone = {models[0] for models in problem.roles.values() if len(models) == 1}
    names = [w.model_id for w in problem.models if w.replicas_min == 0 and w.model_id not in alone]
    return names[-1] if names else None
