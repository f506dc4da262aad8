"""A first packing by hand: models in turn take the slot that fits their rate best; the rate by bisection.

It gives CP-SAT a start, and mixtures (`recombine.py`) their first blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from appliance.placement.packing import Packing, Put, Shape, Slot

BISECTIONS = 9
ENOUGH = 1e-9
VARIANT_RATES = (0.95, 0.93, 0.91, 0.89, 0.87)
MEMORY_WEIGHTS = ((0.0, 0.0), (0.1, 0.1), (0.25, 0.1), (0.25, 0.3), (0.5, 0.1), (1.0, 0.3))
"""What memory beyond an engine's share of the time counts when slots are compared; and time that finds no memory."""
VARIANT_WEIGHTS = ((0.0, 0.0), (0.25, 0.1), (0.25, 0.3), (1.0, 0.3))


@dataclass(slots=True)
class _Floor:
    """What is left of each device while a packing grows."""

    packing: Packing
    memory_weight: float
    stranded_weight: float
    bytes: list[int]
    time: list[float]
    models: list[set[int]]
    puts: list[Put] = field(default_factory=list)

    def put(self, shape: Shape, slot: Slot, share: float) -> None:
        """Place an engine."""
        for device in slot.devices:
            self.bytes[device] -= shape.bytes
            self.time[device] -= share
            self.models[device].add(shape.model)
        self.puts.append(Put(shape, slot, share))


def greedy(packing: Packing, highest_rate: float) -> tuple[Put, ...] | None:
    """The packing of the highest rate that the rule finds; None where it finds none at all."""
    orders = _orders(packing)
    best = _first(packing, 0.0, orders)
    if best is None or not packing.bounding:
        return best
    low, high = 0.0, highest_rate
    for _ in range(BISECTIONS):
        rate = (low + high) / 2
        found = _first(packing, rate, orders, MEMORY_WEIGHTS[:3])
        low, high = (low, rate) if found is None else (rate, high)
        best = found or best
    return best


def variants(packing: Packing, bound: float) -> list[tuple[Put, ...]]:
    """Different packings of rates not far below `bound`, the fastest first: large models first, under several rules."""
    order = _orders(packing)[0]
    tries = (_try(packing, bound * part, order, weight) for part in VARIANT_RATES for weight in VARIANT_WEIGHTS)
    return [puts for puts in tries if puts is not None]


def _floor(packing: Packing, weight: tuple[float, float]) -> _Floor:
    count = len(packing.capacities)
    return _Floor(packing, *weight, list(packing.capacities), [1.0] * count, [set() for _ in range(count)])


def _first(
    packing: Packing, rate: float, orders: list[list[int]], weights: Sequence[tuple[float, float]] = MEMORY_WEIGHTS
) -> tuple[Put, ...] | None:
    tries = (_try(packing, rate, order, weight) for weight in weights for order in orders)
    return next((puts for puts in tries if puts is not None), None)


def _orders(packing: Packing) -> list[list[int]]:
    """Orders to try: bound and large models first, by bytes and by the time that they need."""
    size = {slot.kind: len(slot.devices) for slot in packing.slots}
    least = dict.fromkeys(range(len(packing.models)), 0.0)
    work = dict.fromkeys(range(len(packing.models)), 0.0)
    for model in least:
        shapes = [s for s in packing.shapes if s.model == model and s.kind in size]
        least[model] = min((s.bytes * size[s.kind] for s in shapes), default=0)
        work[model] = min((size[s.kind] / s.rate for s in shapes if s.rate), default=0)
    bound = {model: packing.models[model].slots is None for model in least}
    by_bytes = sorted(least, key=lambda m: (bound[m], -least[m], m))
    by_work = sorted(least, key=lambda m: (bound[m], -work[m], m))
    return [by_bytes, by_work]


def _try(packing: Packing, rate: float, order: list[int], weight: tuple[float, float]) -> tuple[Put, ...] | None:
    floor = _floor(packing, weight)
    for model in order:
        if not _place(floor, model, rate if model in packing.bounding else 0.0):
            return None
    return tuple(floor.puts)


def _place(floor: _Floor, model: int, needed: float) -> bool:
    """Engines for `model` until they keep up with what is `needed`."""
    limits = floor.packing.models[model]
    engines = sum(put.shape.model == model for put in floor.puts)
    while engines < limits.replicas_min or needed > ENOUGH:
        if engines == limits.replicas_max:
            return False
        choice = min(_choices(floor, model, needed), default=None, key=lambda c: c[0])
        if choice is None:
            return False
        _, shape, slot, share = choice
        floor.put(shape, slot, share)
        needed -= share * (shape.rate or 0.0)
        engines += 1
    return True


Choice = tuple[tuple[float, ...], Shape, Slot, float]


def _choices(floor: _Floor, model: int, needed: float) -> Iterator[Choice]:
    """Where an engine can go; equal slots once. The key: what is left over, devices' time, memory, fullness."""
    packing, seen = floor.packing, set()
    for index, slot in enumerate(packing.slots):
        room = min(floor.bytes[device] for device in slot.devices)
        time = min(floor.time[device] for device in slot.devices)
        kept = (model, slot.devices) in packing.kept
        state = (slot.kind, room, round(time, 6), tuple(sorted(floor.models[slot.devices[0]])), kept)
        allowed = packing.models[model].slots
        if (allowed is not None and index not in allowed) or (allowed is None and state in seen):
            continue
        seen.add(state)
        if any(model in floor.models[d] or _forbidden(packing, model, floor.models[d]) for d in slot.devices):
            continue
        yield from _in_slot(floor, model, slot, needed, (room, time))


def _in_slot(floor: _Floor, model: int, slot: Slot, needed: float, left: tuple[int, float]) -> Iterator[Choice]:
    room, time = left
    size = len(slot.devices)
    empty = all(not floor.models[device] for device in slot.devices)
    for shape in floor.packing.by_kind.get(slot.kind, ()):
        if shape.model != model or shape.bytes > room:
            continue
        rate = shape.rate or 0.0
        share = min(time, needed / rate) if rate else 0.0
        if needed > ENOUGH and share <= ENOUGH:
            continue
        done = min(1.0, share * rate / needed) if needed > ENOUGH else 1.0
        memory = shape.bytes / max(floor.packing.capacities[device] for device in slot.devices)
        # Memory beyond its share of the time is what an engine keeps from others; so is time that finds no memory.
        cost = size * (share + floor.memory_weight * max(0.0, memory - share) + 0.01 * memory) / done
        capacity = max(floor.packing.capacities[device] for device in slot.devices)
        stranded = abs((time - share) - (room - shape.bytes) / capacity)
        cost += floor.stranded_weight * size * stranded
        full = done > 1 - 1e-6
        moves = (shape.model, slot.devices) not in floor.packing.kept
        yield (round(cost, 9), full is False, empty is full, moves, float(slot.devices[0])), shape, slot, share


def _forbidden(packing: Packing, model: int, others: set[int]) -> bool:
    return any((a == model and b in others) or (b == model and a in others) for a, b in packing.forbidden)
