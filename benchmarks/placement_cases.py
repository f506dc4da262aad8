"""Random packings for the benchmark of the solver, and an exhaustive search to hold it against."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ortools.linear_solver import pywraplp  # type: ignore[import-untyped]

from appliance.placement.packing import Limits, Packing, Shape, Slot

GIB = 2**30


def random_packing(seed: int, models: int, devices: int, *, node_devices: int = 8, kinds: int = 1) -> Packing:
    """Models of 0.5 to 140 GiB on nodes of 24, 48 or 80 GiB devices; each runs on 1, 2, 4 or 8 of them.

    A level of KV cache brings a batch, and the rate grows with it like batch ÷ (batch + half).
    """
    dice = random.Random(seed)
    rooms = [dice.choice((24, 48, 80)) for _ in range(kinds)]
    nodes = [devices // node_devices * [node_devices], [devices % node_devices]]
    sizes = [size for part in nodes for size in part if size]
    slots: list[Slot] = []
    capacities: list[int] = []
    classes: list[int] = []
    islands: list[int] = []
    for node, size in enumerate(sizes):
        first = len(capacities)
        capacities += [rooms[node % kinds] * GIB - dice.choice((0, 1, 2)) * GIB // 2] * size
        classes += [node % kinds] * size
        islands += [node] * size
        for power, ranks in enumerate((1, 2, 4, 8)):
            for start in range(first, first + size - ranks + 1, ranks):
                slots.append(Slot(node % kinds * 4 + power, tuple(range(start, start + ranks)), node))
    used = sorted({slot.kind for slot in slots})
    shapes = [shape for model in range(models) for shape in _shapes(dice, model, rooms, used)]
    return Packing(
        tuple(capacities),
        tuple(classes),
        tuple(islands),
        tuple(islands),
        tuple(slots),
        tuple(shapes),
        tuple(Limits(replicas_max=dice.choice((1, 2, 64))) for _ in range(models)),
        (10**12,) * len(sizes),
    )


def _shapes(dice: random.Random, model: int, rooms: list[int], kinds: list[int]) -> list[Shape]:
    weights = dice.choice((0.5, 1, 4, 8, 15, 16, 28, 65, 140))
    work = dice.uniform(0.05, 1) * (weights + 2) / 80
    token_gib, half = dice.uniform(0.02, 0.3), dice.choice((4, 16, 64))
    found = []
    for kind in kinds:
        ranks, room = 2 ** (kind % 4), rooms[kind // 4]
        for level, batch in enumerate((2, 16, 64)):
            needed = int((weights / ranks + 1.5 + batch * token_gib / ranks) * GIB)
            if needed < room * GIB * 0.97:
                rate = batch / (batch + half) * ranks * 0.9 ** (kind % 4) / work * (room / 80)
                found.append(Shape(model, kind, level, needed, rate, float(batch)))
    return found


@dataclass
class Exhaustive:
    """Branches on every (model, slot) until the best of the branch, memory of its open part ignored, is not better.

    Nothing is shared with the solver but the packing: no integers, no levels of shares, no windows.
    """

    packing: Packing
    limit: int = 200_000
    nodes: int = 0
    best: float = 0.0

    def __post_init__(self) -> None:
        packing = self.packing
        self._lp = pywraplp.Solver.CreateSolver("GLOP")
        self._rate = self._lp.NumVar(0, self._lp.infinity(), "rate")
        pairs: dict[tuple[int, int], list[tuple[Shape, pywraplp.Variable]]] = {}
        for index in range(len(packing.slots)):
            for shape in packing.shapes_of(index):
                share = self._lp.NumVar(0, 1, "")
                pairs.setdefault((shape.model, index), []).append((shape, share))
        self._pairs = pairs
        for device in range(len(packing.capacities)):
            here = [s for (_, i), found in pairs.items() if device in packing.slots[i].devices for _, s in found]
            self._lp.Add(sum(here) <= 1)
        for model in range(len(packing.models)):
            terms = [(shape.rate or 0.0) * s for (m, _), found in pairs.items() if m == model for shape, s in found]
            self._lp.Add(sum(terms) >= self._rate)
        self._lp.Maximize(self._rate)

    def solve(self) -> float | None:
        """The best rate; 0 where nothing can be placed, None where the limit of nodes was reached."""
        self._branch({}, list(self.packing.capacities))
        return None if self.nodes >= self.limit else self.best

    def _branch(self, decided: dict[tuple[int, int], int | None], free: list[int]) -> None:
        self.nodes += 1
        if self.nodes >= self.limit:
            return
        for key, found in self._pairs.items():
            for number, (shape, share) in enumerate(found):
                share.SetUb(1.0 if self._allowed(key, number, shape, decided, free) else 0.0)
        if self._lp.Solve() != pywraplp.Solver.OPTIMAL or self._rate.solution_value() <= self.best * (1 + 1e-6) + 1e-12:
            return
        bound = self._rate.solution_value()
        used = {key: sum(s.solution_value() for _, s in found) for key, found in self._pairs.items()}
        undecided = [key for key, share in used.items() if key not in decided and share > 1e-9]
        if not undecided:
            self.best = bound
            return
        key = max(undecided, key=lambda k: (used[k], k))
        values = [share.solution_value() for _, share in self._pairs[key]]
        for number in sorted(range(len(values)), key=lambda n: -values[n]):
            shape = self._pairs[key][number][0]
            if self._allowed(key, number, shape, decided, free):
                left = list(free)
                for device in self.packing.slots[key[1]].devices:
                    left[device] -= shape.bytes
                self._branch({**decided, key: number}, left)
        self._branch({**decided, key: None}, free)

    def _allowed(
        self,
        key: tuple[int, int],
        number: int,
        shape: Shape,
        decided: dict[tuple[int, int], int | None],
        free: list[int],
    ) -> bool:
        model, index = key
        if key in decided:
            return decided[key] == number
        placed = [other for other, level in decided.items() if other[0] == model and level is not None]
        if len(placed) >= self.packing.models[model].replicas_max:
            return False
        devices = self.packing.slots[index].devices
        if any(set(devices) & set(self.packing.slots[other].devices) for _, other in placed):
            return False
        return all(free[device] >= shape.bytes for device in devices)
