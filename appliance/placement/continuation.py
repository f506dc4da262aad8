"""A new plan in the names of the running one: what stays as it is keeps its id and its group's name."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import count

from appliance.domain.placement import PlacementPlan, PlannedEngine


def continued(plan: PlacementPlan, running: PlacementPlan) -> PlacementPlan:
    """`plan` with ids that stand for one process each: those of `running` for engines of the same place and size, and
    for all others ids that no running engine has."""
    before = {engine.place: engine for engine in running.engines}
    taken = {engine.engine_id for engine in running.engines}
    names: dict[str, str] = {}
    for engine in plan.engines:
        old = before.get(engine.place)
        if old is not None and is_same(engine, old):
            names[engine.engine_id] = old.engine_id
        else:
            names[engine.engine_id] = fresh_id(engine.model_id, taken)
            taken.add(names[engine.engine_id])
    groups = _group_names(plan, running, names)
    return replace(
        plan,
        engines=tuple(
            replace(e, engine_id=names[e.engine_id], turn_group=groups.get(e.turn_group, "")) for e in plan.engines
        ),
        packs=tuple(replace(p, engine_ids=_renamed(p.engine_ids, names)) for p in plan.packs),
        turns=tuple(
            replace(t, name=groups[t.name], engine_ids=_renamed(t.engine_ids, names)) for t in plan.turns
        ),
    )  # fmt: skip


def is_same(one: PlannedEngine, other: PlannedEngine) -> bool:
    """Whether both are the same process: what its command line says is equal."""
    return _command(one) == _command(other)


def fresh_id(model_id: str, taken: Collection[str]) -> str:
    """The first id of a model that is not taken."""
    return next(name for number in count() if (name := f"{model_id}-{number}") not in taken)


def fresh_group(taken: Collection[str]) -> str:
    """The first name of a group that is not taken."""
    return next(name for number in count(1) if (name := f"turn-{number}") not in taken)


def _command(engine: PlannedEngine) -> tuple[object, ...]:
    return (
        engine.place,
        engine.kv_cache_memory_bytes,
        engine.max_model_len,
        engine.max_num_seqs,
        engine.max_num_batched_tokens,
        engine.gpu_memory_utilization,
        bool(engine.turn_group),
    )


def _group_names(plan: PlacementPlan, running: PlacementPlan, names: dict[str, str]) -> dict[str, str]:
    """A group keeps the name that most of its members had; two groups never get the same."""
    old = {engine.engine_id: engine.turn_group for engine in running.engines}
    taken = {group.name for group in running.turns}
    given: dict[str, str] = {}
    for group in plan.turns:
        had = [old.get(names[engine_id], "") for engine_id in group.engine_ids]
        wishes = [name for name in dict.fromkeys(had) if name and name not in given.values()]
        given[group.name] = max(wishes, key=had.count, default="") or fresh_group(taken)
        taken.add(given[group.name])
    return given


def _renamed(engine_ids: Iterable[str], names: dict[str, str]) -> tuple[str, ...]:
    return tuple(names[engine_id] for engine_id in engine_ids)
