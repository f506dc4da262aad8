"""What one block of devices may hold: engines that touch each other, with their places in the block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from appliance.placement.packing import Packing, Put, Shape

TOGETHER = 4
"""So many engines at most in a column that is made from shapes."""
MOST = 200
"""So many such columns at most for each kind of block."""


@dataclass(frozen=True, slots=True)
class Column:
    """Engines in a block of a kind: shapes, each with its slot as offsets into the block."""

    kind: int
    engines: tuple[tuple[Shape, tuple[int, ...]], ...]


def columns_of(packing: Packing, puts: Sequence[Put]) -> list[Column] | None:
    """A packing's columns; None where engines that touch each other lie in no common block."""
    groups: list[tuple[set[int], list[Put]]] = []
    for put in puts:
        devices, members = set(put.slot.devices), [put]
        for group in [group for group in groups if group[0] & devices]:
            groups.remove(group)
            devices |= group[0]
            members += group[1]
        groups.append((devices, members))
    ordered = sorted(packing.slots, key=lambda slot: len(slot.devices))
    found = []
    for devices, members in groups:
        block = next((slot for slot in ordered if devices <= set(slot.devices)), None)
        if block is None:
            return None
        place = {device: offset for offset, device in enumerate(block.devices)}
        engines = [(put.shape, tuple(place[device] for device in put.slot.devices)) for put in members]
        found.append(Column(block.kind, tuple(sorted(engines, key=lambda e: (e[0].model, e[0].level, e[1])))))
    return found


def fastest_alone(packing: Packing) -> list[Column]:
    """For each kind of block the fastest engine of each model alone."""
    found = []
    rooms = _rooms(packing)
    for kind, shapes in packing.by_kind.items():
        best: dict[int, Shape] = {}
        for shape in shapes:
            fastest = best[shape.model].rate if shape.model in best else 0.0
            if shape.bytes <= rooms.get(kind, (0, 0))[0] and (shape.rate or 0.0) > (fastest or 0.0):
                best[shape.model] = shape
        found += [_column(kind, (shape,), rooms[kind][1]) for shape in best.values()]
    return found


def fullest(packing: Packing, shapes: Iterable[Shape]) -> list[Column]:
    """For each kind of block all sets of these shapes that leave no room for another one of them."""
    wanted = frozenset(shapes)
    found = []
    for kind, (room, size) in _rooms(packing).items():
        inside = sorted((s for s in wanted if s.kind == kind), key=lambda s: (-s.bytes, s.model, s.level))
        sets = (chosen for chosen in _sets(inside, 0, (), room) if chosen)
        found += [_column(kind, chosen, size) for chosen in islice(sets, MOST)]
    return found


def _sets(shapes: Sequence[Shape], first: int, chosen: tuple[Shape, ...], room: int) -> Iterator[tuple[Shape, ...]]:
    models = {shape.model for shape in chosen}
    if len(chosen) < TOGETHER:
        for number in range(first, len(shapes)):
            shape = shapes[number]
            if shape.bytes <= room and shape.model not in models:
                yield from _sets(shapes, number + 1, (*chosen, shape), room - shape.bytes)
    if len(chosen) == TOGETHER or not any(s.bytes <= room and s.model not in models for s in shapes):
        yield chosen


def _rooms(packing: Packing) -> dict[int, tuple[int, int]]:
    """Of each kind of block: bytes of its smallest device, and the number of devices."""
    found: dict[int, tuple[int, int]] = {}
    for slot in packing.slots:
        room = min(packing.capacities[device] for device in slot.devices)
        found[slot.kind] = (min(room, found.get(slot.kind, (room, 0))[0]), len(slot.devices))
    return found


def _column(kind: int, shapes: tuple[Shape, ...], size: int) -> Column:
    whole = tuple(range(size))
    return Column(kind, tuple((shape, whole) for shape in sorted(shapes, key=lambda s: (s.model, s.level))))
