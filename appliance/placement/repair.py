"""A plan in which only what has to move is placed anew, beside engines that stay exactly as they run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from appliance.domain.node import Node
from appliance.domain.placement import PlacementPlan, PlannedEngine, TurnGroup, Unplaceable, taken_bytes
from appliance.placement.continuation import fresh_group, fresh_id
from appliance.placement.packing_search import Effort
from appliance.placement.plan_building import packs_of, planned_gpus, reasons_of
from appliance.placement.prepared import Prepared, prepare
from appliance.placement.problem import Problem, Wanted
from appliance.placement.solver import solve
from appliance.placement.sustained import sustained


def repair(
    problem: Problem, staying: Sequence[PlannedEngine], effort: Effort | None = None
) -> PlacementPlan | Unplaceable:
    """`staying` as they are, and beside them as many engines of each model as `problem.running` has more; where these
    do not all fit, as many as are wanted at least. `booked_bytes` of those that stay count as they are given.

    It disturbs least, and is not always the fastest plan.
    """
    stay = Counter(engine.model_id for engine in staying)
    ran = Counter(engine.model_id for engine in problem.running.engines) if problem.running is not None else Counter()
    least = {
        wanted.model_id: max(1, wanted.replicas_min) - stay[wanted.model_id]
        for wanted in problem.models
        if wanted.replicas_min or ran[wanted.model_id]
    }
    wished = {model_id: max(count, ran[model_id] - stay[model_id]) for model_id, count in least.items()}
    answer: PlacementPlan | Unplaceable = Unplaceable(())
    for missing in (wished, least) if wished != least else (least,):
        answer = _placed(problem, staying, {model: count for model, count in missing.items() if count > 0}, effort)
        if isinstance(answer, PlacementPlan):
            return answer
    return answer


def _placed(
    problem: Problem, staying: Sequence[PlannedEngine], missing: Mapping[str, int], effort: Effort | None
) -> PlacementPlan | Unplaceable:
    prepared = prepare(problem)
    if not missing:
        return _assembled(prepared, staying)
    models = []
    for wanted in problem.models:
        if wanted.model_id not in missing:
            continue
        gpus = _allowed(problem, wanted, staying)
        if not gpus:
            return Unplaceable((f"{wanted.model_id}: those that stay leave it no GPU",))
        count = missing[wanted.model_id]
        models.append(replace(wanted, replicas_min=count, replicas_max=count, gpus=gpus))
    roles = {role: models_ for role, models_ in prepared.assignment.roles if models_ and models_[0] in missing}
    part = replace(
        problem, nodes=tuple(_occupied(node, staying) for node in problem.nodes), models=tuple(models), roles=roles
    )
    answer = solve(part, effort, seek_remedies=False)
    if isinstance(answer, Unplaceable):
        return answer
    return _assembled(prepared, (*staying, *_named_apart(answer, staying)))


def _occupied(node: Node, staying: Sequence[PlannedEngine]) -> Node:
    """With what those that stay take."""
    return replace(
        node,
        accelerators=tuple(
            replace(a, used_bytes=a.used_bytes + taken_bytes(_on(staying, node.name, a.gpu_id)))
            for a in node.accelerators
        ),
    )


def _allowed(problem: Problem, wanted: Wanted, staying: Sequence[PlannedEngine]) -> frozenset[tuple[str, str]]:
    """The GPUs of its pins, or all, without those of its own replicas and of models that it may not meet."""
    foes = {wanted.model_id} | {
        other for pair in problem.constraints.forbidden if wanted.model_id in pair for other in pair
    }
    return frozenset(
        (node.name, a.gpu_id)
        for node in problem.nodes
        for a in node.accelerators
        if (not wanted.gpus or (node.name, a.gpu_id) in wanted.gpus)
        and foes.isdisjoint(e.model_id for e in _on(staying, node.name, a.gpu_id))
    )


def _on(engines: Sequence[PlannedEngine], node: str, gpu_id: str) -> tuple[PlannedEngine, ...]:
    return tuple(engine for engine in engines if engine.node == node and gpu_id in engine.gpu_ids)


def _named_apart(plan: PlacementPlan, staying: Sequence[PlannedEngine]) -> tuple[PlannedEngine, ...]:
    """The engines of `plan` with ids and groups that none of `staying` has."""
    taken = {engine.engine_id for engine in staying}
    groups = {engine.turn_group for engine in staying}
    renamed: dict[str, str] = {}
    for group in plan.turns:
        renamed[group.name] = fresh_group(groups)
        groups.add(renamed[group.name])
    named = []
    for engine in plan.engines:
        engine_id = fresh_id(engine.model_id, taken)
        taken.add(engine_id)
        named.append(replace(engine, engine_id=engine_id, turn_group=renamed.get(engine.turn_group, "")))
    return tuple(named)


def _assembled(prepared: Prepared, engines: Sequence[PlannedEngine]) -> PlacementPlan:
    """The plan of these engines, with the rate that they keep up with."""
    found = sustained(prepared, engines)
    shown = tuple(
        replace(
            engine,
            share=found.shares.get(engine.engine_id, 0.0),
            requests_per_s=found.rates.get(engine.engine_id, 0.0),
            roles=prepared.assignment.of(engine.model_id),
        )
        for engine in sorted(engines, key=lambda e: (e.model_id, e.engine_id))
    )
    plan = PlacementPlan(
        engines=shown,
        gpus=planned_gpus(prepared),
        packs=packs_of(shown),
        turns=_turns(shown),
        roles=prepared.assignment.roles,
        requests_per_s=found.rate,
        bound_per_s=None,
        wanted_per_s=prepared.problem.demand.requests_per_s,
        bottleneck=_slowest(prepared, shown),
        status="mended",
        reasons=(),
    )
    return replace(plan, reasons=reasons_of(prepared, plan, gap=0.0))


def _turns(engines: Sequence[PlannedEngine]) -> tuple[TurnGroup, ...]:
    groups = {name: [e for e in engines if e.turn_group == name] for name in {e.turn_group for e in engines} - {""}}
    return tuple(
        TurnGroup(
            name,
            members[0].node,
            tuple(dict.fromkeys(gpu for e in members for gpu in e.gpu_ids)),
            tuple(e.engine_id for e in members),
        )
        for name, members in sorted(groups.items())
    )


def _slowest(prepared: Prepared, engines: Sequence[PlannedEngine]) -> str:
    """The called model with the least rate."""
    rates = {model_id: 0.0 for model_id, calls in prepared.assignment.calls.items() if calls}
    for engine in engines:
        if engine.model_id in rates:
            rates[engine.model_id] += engine.requests_per_s
    return min(rates, key=lambda model_id: (round(rates[model_id], 6), model_id), default="")
