"""A rate that no placement can exceed: devices of one class melted into one, so memory and time count in sum only.

Every placement keeps to these sums, so the best of the melted problem is a bound on all of them, and it is small
enough to be solved outright. For many devices `slice_bound.py` has a tighter one.
"""

from __future__ import annotations

from collections import Counter

from ortools.sat.python import cp_model

from appliance.placement.integers import SHARES, Scale, mebibytes_down, mebibytes_up, solver_of
from appliance.placement.packing import Packing, Shape

FINER = 100
"""Shares are dealt out this much finer here: rounding must not loosen the bound."""


def rate_bound(packing: Packing, scale: Scale, effort: float = 1.0) -> float | None:
    """Whole requests per second; None where the melted problem has no solution, so the true one has none either.

    With turns, memory bounds nothing. `effort` is CP-SAT's deterministic time.
    """
    model = cp_model.CpModel()
    rate = model.new_int_var(0, scale.rate_top, "rate")
    kinds = {slot.kind: slot for slot in packing.slots}
    blocks = Counter(slot.kind for slot in packing.slots)
    counts: dict[Shape, cp_model.IntVar] = {}
    shares: dict[Shape, cp_model.IntVar] = {}
    steps = SHARES * FINER
    for number, shape in enumerate(_possible(packing)):
        top = min(blocks[shape.kind], packing.models[shape.model].replicas_max)
        counts[shape] = model.new_int_var(0, top, f"n{number}")
        if shape.rate is not None:
            shares[shape] = model.new_int_var(0, steps * top, f"s{number}")
            model.add(shares[shape] <= steps * counts[shape])
    for index, limits in enumerate(packing.models):
        if limits.replicas_min:
            model.add(sum(n for shape, n in counts.items() if shape.model == index) >= limits.replicas_min)
    for index in packing.bounding:
        model.add(sum(scale.rate_up(s.rate) * n for s, n in shares.items() if s.model == index) >= steps * rate)
    for device_class in sorted(set(packing.classes)):
        members = [i for i, c in enumerate(packing.classes) if c == device_class]
        inside = [shape for shape in counts if packing.classes[kinds[shape.kind].devices[0]] == device_class]
        size = {shape: len(kinds[shape.kind].devices) for shape in inside}
        rounding = sum(size[s] for s in inside if s in shares)  # whole shares stand for any: each may be one too large
        model.add(sum(size[s] * shares[s] for s in inside if s in shares) <= steps * len(members) + rounding)
        if not packing.turns:
            _sums_of_memory(model, packing, members, {shape: (counts[shape], size[shape]) for shape in inside})
    model.maximize(rate)
    solver = solver_of(effort)
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None
    return scale.per_second(solver.best_objective_bound)


def _possible(packing: Packing) -> list[Shape]:
    """Shapes that fit some slot when it is empty."""
    found: dict[Shape, None] = {}
    for index in range(len(packing.slots)):
        found.update(dict.fromkeys(packing.shapes_of(index)))
    return list(found)


def _sums_of_memory(
    model: cp_model.CpModel,
    packing: Packing,
    members: list[int],
    engines: dict[Shape, tuple[cp_model.IntVar, int]],
) -> None:
    """All memory of a class; and of engines larger than a half, third or quarter only so many fit on a device."""
    room = sum(mebibytes_up(packing.capacities[device]) for device in members)  # rounded to what may be too much
    model.add(sum(mebibytes_down(shape.bytes) * size * n for shape, (n, size) in engines.items()) <= room)
    largest = max(packing.capacities[device] for device in members)
    for parts in (2, 3, 4, 5, 6):
        above = [n * size for shape, (n, size) in engines.items() if shape.bytes * parts > largest]
        if above:
            model.add(sum(above) <= (parts - 1) * len(members))
