"""On many devices: the best mixture of contents of blocks, given columns of them.

Blocks of one kind are alike, so it is enough to say how often each column is used and how its time is dealt out. That
is a small mixed-integer program whatever the number of devices; OR-tools' SCIP solves it better than CP-SAT, because
rates are continuous. The limit is one of nodes, not of time, so the answer is the same on any machine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ortools.linear_solver import pywraplp  # type: ignore[import-untyped]  # OR-tools ships no types for it

from appliance.placement.columns import Column
from appliance.placement.packing import Packing, Put, Slot

MARGIN = 1e-6
"""Shares are cut by it, so that the program's tolerances never overfill a device's time."""
CUT_ROUNDS = 20
"""Further rounds at the root of SCIP's tree take as long again and find nothing better."""


@dataclass(frozen=True, slots=True)
class _Use:
    """How often a column is used, and the share of one such block's time for each engine."""

    column: Column
    count: int
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """No mixture is faster than `bound`; the first within `gap` of it will do. `nodes` limits the search tree."""

    bound: float
    gap: float
    nodes: int


def recombine(
    packing: Packing, columns: Sequence[Column], start: Sequence[Column], search: Search
) -> tuple[Put, ...] | None:
    """The best mixture found; None where there is none, or it finds no room. `start` is a placement as columns."""
    uses = _mixture(packing, list(dict.fromkeys([*start, *columns])), Counter(start), search)
    return None if uses is None else _realised(packing, uses)


def _mixture(packing: Packing, columns: Sequence[Column], start: Counter[Column], search: Search) -> list[_Use] | None:
    program = pywraplp.Solver.CreateSolver("SCIP")
    blocks = Counter(slot.kind for slot in packing.slots)
    counts = [program.IntVar(0, blocks[column.kind], "") for column in columns]
    rate = program.NumVar(0, search.bound, "")
    _room(program, packing, columns, counts)
    speed: dict[int, list[Any]] = defaultdict(list)
    engines: dict[int, list[Any]] = defaultdict(list)
    times = []
    for column, count in zip(columns, counts, strict=True):
        times.append(_times(program, column, count))
        for time, (shape, _) in zip(times[-1], column.engines, strict=True):
            engines[shape.model].append(count)
            if shape.rate is not None:
                speed[shape.model].append(shape.rate * time)
    for index, limits in enumerate(packing.models):
        program.Add(sum(engines[index]) >= limits.replicas_min)
        program.Add(sum(engines[index]) <= limits.replicas_max)
        if index in packing.bounding:
            program.Add(sum(speed[index]) >= rate)
    program.Maximize(rate)
    program.SetHint(counts, [float(start[column]) for column in columns])
    enough = search.bound * (1 - search.gap)
    program.SetSolverSpecificParametersAsString(
        f"limits/nodes={search.nodes}\nlimits/primal={enough}\nseparating/maxroundsroot={CUT_ROUNDS}"
    )
    if program.Solve() not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        return None
    return [
        _Use(column, number, tuple(max(0.0, time.solution_value() / number - MARGIN) for time in of))
        for column, count, of in zip(columns, counts, times, strict=True)
        if (number := round(count.solution_value()))
    ]


def _room(program: pywraplp.Solver, packing: Packing, columns: Sequence[Column], counts: Sequence[Any]) -> None:
    """Blocks of a size take the place of blocks of every smaller size."""
    kinds = {slot.kind: slot for slot in packing.slots}
    size = {kind: len(slot.devices) for kind, slot in kinds.items()}
    for device_class in sorted(set(packing.classes)):
        inside = {kind for kind, slot in kinds.items() if packing.classes[slot.devices[0]] == device_class}
        for least in sorted({size[kind] for kind in inside}):
            room = len({s.devices for s in packing.slots if s.kind in inside and len(s.devices) == least})
            taken = [
                count * (size[column.kind] // least)
                for column, count in zip(columns, counts, strict=True)
                if column.kind in inside and size[column.kind] >= least
            ]
            program.Add(sum(taken) <= room)


def _times(program: pywraplp.Solver, column: Column, count: Any) -> list[pywraplp.Variable]:
    """The time of all blocks with this content together, by engine."""
    times = [program.NumVar(0, program.infinity(), "") for _ in column.engines]
    on: dict[int, list[int]] = defaultdict(list)
    for number, (_, offsets) in enumerate(column.engines):
        for offset in offsets:
            on[offset].append(number)
    for together in sorted({tuple(numbers) for numbers in on.values()}):
        program.Add(sum(times[number] for number in together) <= count)
    return times


def _realised(packing: Packing, uses: Iterable[_Use]) -> tuple[Put, ...] | None:
    """Columns in blocks, the largest first, in the smallest free blocks that hold them."""
    slots = {slot.devices: slot for slot in packing.slots}
    size = {slot.kind: len(slot.devices) for slot in packing.slots}
    puts: list[Put] = []
    taken: set[int] = set()
    for use in sorted(uses, key=lambda use: -size[use.column.kind]):
        for _ in range(use.count):
            block = next((s for s in packing.slots if _holds(packing, s, use.column, taken)), None)
            if block is None:
                return None
            taken.update(block.devices)
            for share, (shape, offsets) in zip(use.shares, use.column.engines, strict=True):
                puts.append(Put(shape, slots[tuple(block.devices[offset] for offset in offsets)], share))
    return tuple(sorted(puts, key=lambda put: (put.slot.devices, put.shape.model)))


def _holds(packing: Packing, block: Slot, column: Column, taken: set[int]) -> bool:
    if block.kind != column.kind or not taken.isdisjoint(block.devices):
        return False
    free = [packing.capacities[device] for device in block.devices]
    for shape, offsets in column.engines:
        for offset in offsets:
            free[offset] -= shape.bytes
    return min(free) >= 0
