"""Random fleets of catalog models, and the events that move them: GPUs lost, models added and removed, demand moved."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from appliance.catalog.loader import load_catalog
from appliance.domain.demand import Demand, RoleDemand
from appliance.domain.model import Model
from appliance.domain.node import Accelerator, Node
from appliance.domain.placement import PlacementPlan
from appliance.placement.candidates import shape_of
from appliance.placement.memory import engine_memory
from appliance.placement.packing_search import Effort
from appliance.placement.problem import Problem, Wanted
from appliance.placement.solver import solve

GIB = 2**30
QUICK = Effort(rate=0.01, later=0.001, bound=0.001)
"""Little effort: the sequences ask whether plans hold, not how good they are."""
CARDS = (
    ("NVIDIA L4", 22.49),
    ("NVIDIA GeForce RTX 4090", 23.99),
    ("NVIDIA L40S", 44.99),
    ("NVIDIA A100-SXM4-40GB", 39.5),
    ("NVIDIA H100 80GB HBM3", 79.65),
)


@cache
def catalog() -> Mapping[str, Model]:
    """The shipped manifests with a geometry."""
    models = load_catalog(Path(__file__).parents[1] / "models" / "catalog")
    return {name: model for name, model in models.items() if model.geometry is not None and "starter" not in name}


def large_problem(seed: int) -> Problem:
    """64 H100 in eight NVLink nodes, 20 of the catalog's models that fit one, each with a skill of its own."""
    dice = random.Random(seed)
    names = dice.sample([name for name, model in catalog().items() if model.parameters < 3e11], 20)
    name, gib = CARDS[4]
    gpus = tuple(Accelerator(str(index), name, int(gib * GIB), island="nvlink") for index in range(8))
    nodes = tuple(Node(f"node-{number}", gpus, 512 * GIB) for number in range(8))
    roles = {f"executors.s{number}": (name,) for number, name in enumerate(names)}
    return Problem(nodes, tuple(Wanted(catalog()[name], 8192) for name in names), roles, _demand(dice, roles))


def play(seed: int) -> dict[str, int]:
    """One sequence: a first plan and two to four events. Counts plans, refusals, and GPUs above their memory."""
    dice = random.Random(seed)
    problem = _first(dice)
    counts = {"plans": 0, "refusals": 0, "engines": 0, "overfull": 0}
    for _ in range(1 + dice.randint(2, 4)):
        answer = solve(problem, QUICK, seek_remedies=False)
        if isinstance(answer, PlacementPlan):
            counts["plans"] += 1
            counts["engines"] += len(answer.engines)
            counts["overfull"] += overfull(problem, answer)
            problem = replace(problem, running=answer)
        else:
            counts["refusals"] += 1
        problem = _event(dice, problem)
    return counts


def overfull(problem: Problem, plan: PlacementPlan) -> int:
    """GPUs whose engines, reckoned anew by the memory model, may take more than is declared.

    Of engines that take turns any one may be awake, the others asleep.
    """
    models = {wanted.model_id: wanted for wanted in problem.models}
    found = 0
    for node in problem.nodes:
        for device in node.accelerators:
            steady, awake = device.used_bytes + problem.constraints.reserve_bytes, 0
            for engine in plan.on_gpu(node.name, device.gpu_id):
                wanted = models[engine.model_id]
                shape = shape_of(problem, wanted, engine.tensor_parallel_size)
                geometry = wanted.model.geometry
                assert geometry is not None
                memory = engine_memory(geometry, shape, device.card)
                taken = memory.total_bytes(engine.kv_cache_memory_bytes)
                if engine.turn_group:
                    steady += engine.asleep_bytes
                    awake = max(awake, taken - engine.asleep_bytes)
                else:
                    steady += taken
            found += steady + awake > device.total_bytes
    return found


def _first(dice: random.Random) -> Problem:
    nodes = []
    for number in range(dice.randint(1, 2)):
        card = dice.choice(CARDS)
        island = "nvlink" if "H100" in card[0] or "A100" in card[0] else ""
        nodes.append(_node(dice, f"node-{number}", card, dice.randint(1, 4), island=island))
    problem = Problem(tuple(nodes), (), {}, Demand())
    for _ in range(dice.randint(1, 4)):
        problem = _added(dice, problem)
    return _moved(dice, problem)


def _node(dice: random.Random, name: str, card: tuple[str, float], count: int, *, island: str) -> Node:
    used = dice.choice((0, 0, 0, GIB))
    gpus = tuple(Accelerator(str(i), card[0], int(card[1] * GIB), used, island) for i in range(count))
    return Node(name, gpus, dice.choice((0, 64, 512)) * GIB)


def _event(dice: random.Random, problem: Problem) -> Problem:
    kind = dice.choice(("lost", "lost", "added", "removed", "moved", "moved"))
    if kind == "lost":
        return _lost(dice, problem)
    if kind == "added":
        return _moved(dice, _added(dice, problem))
    if kind == "removed" and len(problem.models) > 1:
        gone = dice.choice(problem.models).model_id
        roles = {role: models for role, models in problem.roles.items() if models != (gone,)}
        return _moved(
            dice, replace(problem, models=tuple(w for w in problem.models if w.model_id != gone), roles=roles)
        )
    return _moved(dice, problem)


def _lost(dice: random.Random, problem: Problem) -> Problem:
    """One GPU less, as long as there are two."""
    keys = [(node.name, device.gpu_id) for node in problem.nodes for device in node.accelerators]
    if len(keys) < 2:
        return problem
    gone = dice.choice(keys)
    nodes = tuple(
        replace(node, accelerators=tuple(d for d in node.accelerators if (node.name, d.gpu_id) != gone))
        for node in problem.nodes
    )
    return replace(problem, nodes=tuple(node for node in nodes if node.accelerators))


def _added(dice: random.Random, problem: Problem) -> Problem:
    names = sorted(set(catalog()) - {wanted.model_id for wanted in problem.models})
    small = [name for name in names if catalog()[name].parameters < 4e10]
    name = dice.choice(small if dice.random() < 0.9 else names)
    length = dice.choice((2048, 8192, 16384))
    wanted = Wanted(catalog()[name], min(length, catalog()[name].context_tokens), dice.choice((8, 32, 64)))
    roles = dict(problem.roles) | {f"executors.{name}": (name,)}
    return replace(problem, models=(*problem.models, wanted), roles=roles)


def _moved(dice: random.Random, problem: Problem) -> Problem:
    return replace(problem, demand=_demand(dice, problem.roles))


def _demand(dice: random.Random, roles: Mapping[str, tuple[str, ...]]) -> Demand:
    """Random calls for each role."""
    return Demand(
        tuple(
            (role, RoleDemand(round(dice.uniform(0.1, 2), 2), dice.randint(200, 3000), dice.randint(20, 800)))
            for role in roles
        )
    )
