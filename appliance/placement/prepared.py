"""A problem as numbers for the packing solver, and what those numbers stand for."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.placement.assignment import Assignment, assign
from appliance.placement.candidates import Candidate, candidates, shapes
from appliance.placement.devices import Floor, floor_of
from appliance.placement.packing import Limits, Packing, Shape
from appliance.placement.problem import Problem, Wanted


@dataclass(frozen=True)
class Prepared:
    """A problem as a packing, and what its numbers stand for."""

    problem: Problem
    floor: Floor
    assignment: Assignment
    candidates: dict[tuple[int, int], Candidate]
    packing: Packing


def prepare(problem: Problem) -> Prepared:
    """Numbers for the solver."""
    floor = floor_of(problem.nodes, problem.constraints.reserve_bytes)
    assignment = assign(problem)
    found = candidates(problem, floor, assignment.calls)
    names = {wanted.model_id: index for index, wanted in enumerate(problem.models)}
    packing = Packing(
        capacities=tuple(device.room_bytes for device in floor.devices),
        classes=floor.classes,
        islands=floor.islands,
        nodes=floor.islands,
        slots=floor.slots,
        shapes=tuple(_shapes(floor, found)),
        models=tuple(_limits(floor, wanted) for wanted in problem.models),
        host_bytes=tuple(node.host_bytes for node in problem.nodes),
        forbidden=tuple((names[a], names[b]) for a, b in problem.constraints.forbidden if a in names and b in names),
        kept=_kept(problem, floor),
    )
    return Prepared(problem, floor, assignment, found, packing)


def _shapes(floor: Floor, found: dict[tuple[int, int], Candidate]) -> list[Shape]:
    rooms: dict[int, int] = {}
    for slot in floor.slots:
        room = min(floor.devices[device].room_bytes for device in slot.devices)
        rooms[slot.kind] = max(rooms.get(slot.kind, 0), room)
    return [shape for (model, kind), one in found.items() for shape in shapes(model, one, kind, rooms[kind])]


def _limits(floor: Floor, wanted: Wanted) -> Limits:
    """A pin to GPUs means those alone; on several of them an engine may stand on one, or span them."""
    slots = None
    if wanted.gpus or wanted.nodes:
        slots = frozenset(
            index
            for index, slot in enumerate(floor.slots)
            if all(not wanted.gpus or floor.devices[d].key in wanted.gpus for d in slot.devices)
            and (not wanted.nodes or floor.devices[slot.devices[0]].node.name in wanted.nodes)
        )
    return Limits(max(1, wanted.replicas_min), wanted.replicas_max, slots)


def _kept(problem: Problem, floor: Floor) -> frozenset[tuple[int, tuple[int, ...]]]:
    if problem.running is None:
        return frozenset()
    devices = {device.key: index for index, device in enumerate(floor.devices)}
    models = {wanted.model_id: index for index, wanted in enumerate(problem.models)}
    kept = set()
    for engine in problem.running.engines:
        keys = [(engine.node, gpu_id) for gpu_id in engine.gpu_ids]
        if engine.model_id in models and all(key in devices for key in keys):
            kept.add((models[engine.model_id], tuple(devices[key] for key in keys)))
    return frozenset(kept)
