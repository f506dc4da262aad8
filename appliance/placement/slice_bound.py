"""A rate that no placement on many devices can exceed: devices of one class melted into one, and then cut apart again.

An engine on several devices is taken for so many slices, one on each. Melted into one, a class of devices has memory
and time in sum only. What a single device can hold is brought back by cuts: with a function f of bytes that is
superadditive (f(x) + f(y) ≤ f(x + y)) and at most 1 at the capacity C, the slices on a device satisfy
Σ f(bytes) + max (1 − f(bytes) − f(C − bytes)) ≤ 1, and as their parts of the time sum to 1 at most, over all D devices

    Σ slices × (f(bytes) × engines + (1 − f(bytes) − f(C − bytes)) × time) ≤ D.

Such functions are known as dual feasible (Clautiaux, Alves, Valério de Carvalho, "A survey of dual-feasible and
superadditive functions", 2010); the second term is what they say about time that no memory is left for. The program is
solved by SCIP, the cuts that its solution violates most are added, and so on for a few rounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

from ortools.linear_solver import pywraplp  # type: ignore[import-untyped]  # OR-tools ships no types for it

from appliance.placement.packing import Packing, Shape

MARGIN = 1e-5
"""SCIP reckons in floating point, to 1e-6; the bound is raised by more than that."""
NOISE = 1e-9
"""A weight below is none."""
MOST_PARTS = 12
"""Thresholds below so small a part of a device are left out."""
NODES = 1
"""Cuts tighten more than branching does."""

Function = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class SliceBound:
    """No placement is faster than `rate`. `shapes` are those of the program's solution, good ones to build with."""

    rate: float
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class _Cut:
    """A superadditive function for devices of a class with `room` bytes at the most. Of each `family` one a round."""

    family: str
    device_class: int
    room: int
    function: Function

    def weights(self, taken: int) -> tuple[float, float]:
        """What a slice counts by itself, and its time."""
        one = self.function(taken)
        rest = 1.0 - one - self.function(self.room - taken)
        return one, rest if rest > NOISE else 0.0


def slice_bounds(packing: Packing, highest_rate: float, gap: float) -> Iterator[SliceBound]:
    """One after the other, each at least as tight, until no cut is violated; each is solved to `gap`.

    `highest_rate` is any crude bound, for scaling. No bound at all comes where nothing can be placed. Only for packings
    without turns, in which some model bounds the rate.
    """
    program = _Program(packing, highest_rate)
    best = inf
    while (bound := program.solve(gap)) is not None:
        best = min(best, bound)
        yield SliceBound(best, tuple(program.values))
        if not program.cut():
            return


class _Program:
    """The mixed-integer program: how many engines of each shape, and their time together."""

    def __init__(self, packing: Packing, highest_rate: float) -> None:
        self._packing = packing
        self._unit = max(highest_rate, 1e-9) / len(packing.capacities)
        self._program = pywraplp.Solver.CreateSolver("SCIP")
        kinds = {slot.kind: slot for slot in packing.slots}
        self._class = {kind: packing.classes[slot.devices[0]] for kind, slot in kinds.items()}
        self._size = {kind: len(slot.devices) for kind, slot in kinds.items()}
        self._devices = Counter(packing.classes)
        blocks = Counter((s.kind, shape) for i, s in enumerate(packing.slots) for shape in packing.shapes_of(i))
        self._counts: dict[Shape, Any] = {s: self._program.IntVar(0, top, "") for (_, s), top in blocks.items()}
        self._times: dict[Shape, Any] = {s: self._program.NumVar(0, top, "") for (_, s), top in blocks.items()}
        self._add_models()
        self._open: list[_Cut] = []
        for device_class in sorted(self._devices):
            rooms = [c for c, of in zip(packing.capacities, packing.classes, strict=True) if of == device_class]
            sizes = {s.bytes for s in self._counts if self._class[s.kind] == device_class}
            self._add_memory(device_class, sum(rooms))
            self._add(_Cut("time", device_class, max(rooms), lambda _: 0.0))
            self._open += [_Cut(name, device_class, max(rooms), f) for name, f in _functions(sizes, max(rooms))]
        self.values: dict[Shape, tuple[float, float]] = {}

    def solve(self, gap: float) -> float | None:
        """The bound in whole requests per second, None where there is no solution. Keeps the solution's `values`."""
        self._program.SetSolverSpecificParametersAsString(f"limits/gap={gap}\nlimits/nodes={NODES}")
        if self._program.Solve() not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
            return None
        self.values = {
            shape: (number, self._times[shape].solution_value())
            for shape, count in self._counts.items()
            if (number := round(count.solution_value()))
        }
        return float(self._program.Objective().BestBound()) * self._unit * (1 + MARGIN)

    def cut(self) -> bool:
        """Adds the most violated cut of each family; False where none is."""
        worst: dict[tuple[str, int], tuple[float, _Cut]] = {}
        for cut in self._open:
            excess = -self._devices[cut.device_class] * (1 + MARGIN)
            for shape, (count, time) in self.values.items():
                if self._class[shape.kind] == cut.device_class:
                    one, rest = cut.weights(shape.bytes)
                    excess += self._size[shape.kind] * (one * count + rest * time)
            if excess > worst.get((cut.family, cut.device_class), (0.0, cut))[0]:
                worst[cut.family, cut.device_class] = (excess, cut)
        for _, cut in worst.values():
            self._add(cut)
            self._open.remove(cut)
        return bool(worst)

    def _add_models(self) -> None:
        program, packing = self._program, self._packing
        rate = program.NumVar(0, program.infinity(), "")
        for shape, count in self._counts.items():
            program.Add(self._times[shape] <= count)
        for index, limits in enumerate(packing.models):
            mine = [shape for shape in self._counts if shape.model == index]
            program.Add(sum(self._counts[shape] for shape in mine) >= limits.replicas_min)
            program.Add(sum(self._counts[shape] for shape in mine) <= limits.replicas_max)
            if index in packing.bounding:
                program.Add(sum((s.rate or 0.0) / self._unit * self._times[s] for s in mine) >= rate)
        program.Maximize(rate)

    def _add_memory(self, device_class: int, room: int) -> None:
        inside = [(shape, count) for shape, count in self._counts.items() if self._class[shape.kind] == device_class]
        taken = [shape.bytes / room * self._size[shape.kind] * count for shape, count in inside]
        self._program.Add(sum(taken) <= 1)

    def _add(self, cut: _Cut) -> None:
        terms = []
        for shape, count in self._counts.items():
            if self._class[shape.kind] == cut.device_class:
                one, rest = cut.weights(shape.bytes)
                if one:
                    terms.append(one * self._size[shape.kind] * count)
                if rest:
                    terms.append(rest * self._size[shape.kind] * self._times[shape])
        self._program.Add(sum(terms) <= self._devices[cut.device_class])


def _functions(sizes: set[int], room: int) -> Iterator[tuple[str, Function]]:
    """Both families, with thresholds where the sizes make a difference."""
    small = {size for size in sizes if 2 * size <= room} | {room - size + 1 for size in sizes if 2 * size > room}
    for least in sorted(small):
        yield "alone", _alone(least, room)
    halves = {(room - least) // 2 + 1 for least in small}
    equal = {room // parts + 1 for parts in range(2, MOST_PARTS)}
    for least in sorted(small | halves | equal):
        if room // MOST_PARTS < least <= room:
            yield "parts", _parts(least, room)


def _alone(least: int, room: int) -> Function:
    """A slice that leaves less than `least` has the device for itself, but for slices smaller than that."""
    return lambda taken: float(taken > room - least)


def _parts(least: int, room: int) -> Function:
    """Only so many slices of `least` bytes fit a device; a larger one counts for as many as it could be cut into."""
    return lambda taken: (taken // least) / (room // least)
