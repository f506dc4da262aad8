"""The placement problem as numbers: slots of devices, shapes of engines that go into them, and what must hold.

A slot is a block of devices that one engine may take; a shape is one way to run a model in slots of a kind (a level of
KV cache). Devices of one class are interchangeable but for their neighbours. Nothing here knows of GPUs or vLLM.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Slot:
    """A block of devices for one engine. Slots of one `kind` have the same size, class and links."""

    kind: int
    devices: tuple[int, ...]
    node: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """An engine of `model` in a slot of `kind`.

    `bytes` are taken on each device, `asleep_bytes` of them stay while it sleeps (None: it can't) and `host_bytes` of
    the node's memory are taken then. `rate` is how many whole requests per second the engine keeps up with when it has
    its devices for itself (None: no request calls the model). `concurrency` says how much the KV cache holds.
    """

    model: int
    kind: int
    level: int
    bytes: int
    rate: float | None
    concurrency: float
    asleep_bytes: int | None = None
    host_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a model may be placed, and where. `slots` are indices of allowed slots; None: all."""

    replicas_min: int = 1
    replicas_max: int = 64
    slots: frozenset[int] | None = None


@dataclass(frozen=True)
class Packing:
    """The whole problem.

    `capacities` are bytes per device, `islands` and `nodes` number a device's neighbourhood, `classes` its kind of
    device. `forbidden` pairs of models may not share a device. `turn_share` is what is left of an engine's rate where
    it takes turns with others. `kept` are (model, devices) of the running plan.
    """

    capacities: tuple[int, ...]
    classes: tuple[int, ...]
    islands: tuple[int, ...]
    nodes: tuple[int, ...]
    slots: tuple[Slot, ...]
    shapes: tuple[Shape, ...]
    models: tuple[Limits, ...]
    host_bytes: tuple[int, ...] = (0,)
    forbidden: tuple[tuple[int, int], ...] = ()
    kept: frozenset[tuple[int, tuple[int, ...]]] = frozenset()
    turns: bool = False
    turn_share: float = 0.5

    @cached_property
    def by_kind(self) -> dict[int, tuple[Shape, ...]]:
        """Shapes by the kind of slot that they go into."""
        found: dict[int, list[Shape]] = {}
        for shape in self.shapes:
            found.setdefault(shape.kind, []).append(shape)
        return {kind: tuple(shapes) for kind, shapes in found.items()}

    @cached_property
    def bounding(self) -> tuple[int, ...]:
        """Models that requests call: they bound the rate."""
        return tuple(sorted({shape.model for shape in self.shapes if shape.rate is not None}))

    def shapes_of(self, slot_index: int) -> Iterable[Shape]:
        """Shapes that may go into a slot and fit it when it is empty."""
        slot = self.slots[slot_index]
        room = min(self.capacities[device] for device in slot.devices)
        for shape in self.by_kind.get(slot.kind, ()):
            allowed = self.models[shape.model].slots
            if shape.bytes <= room and (allowed is None or slot_index in allowed):
                yield shape


@dataclass(frozen=True, slots=True)
class Put:
    """An engine in its place. `share` is its part of the devices' time, in [0, 1]; `turn`: it sleeps and wakes."""

    shape: Shape
    slot: Slot
    share: float
    turn: bool = False

    @property
    def rate(self) -> float:
        """Whole requests per second by this estimate, without what turns cost."""
        return (self.shape.rate or 0.0) * self.share


@dataclass(frozen=True, slots=True)
class Packed:
    """A solution: `rate` in whole requests per second (None: nothing bounds it), `bound` no solution can exceed.

    `status` tells "optimal" or "feasible".
    """

    puts: tuple[Put, ...]
    rate: float | None
    bound: float | None
    status: str

    @property
    def gap(self) -> float:
        """How far the rate may be from the best, as a share of the bound."""
        if self.rate is None or not self.bound:
            return 0.0
        return max(0.0, 1 - self.rate / self.bound)


def rate_of(packing: Packing, puts: Sequence[Put]) -> float | None:
    """Whole requests per second that each called model keeps up with."""
    rates = dict.fromkeys(packing.bounding, 0.0)
    for put in puts:
        if put.shape.model in rates:
            rates[put.shape.model] += put.rate * (packing.turn_share if put.turn else 1.0)
    return min(rates.values()) if rates else None


def highest_rate(packing: Packing) -> float:
    """No packing is faster: every device for the model that is slowest even so."""
    sizes = {slot.kind: len(slot.devices) for slot in packing.slots}
    best: dict[int, float] = {}
    for shape in packing.shapes:
        if shape.rate is not None and shape.kind in sizes:
            best[shape.model] = max(best.get(shape.model, 0.0), shape.rate / sizes[shape.kind])
    return min(best.values(), default=1.0) * len(packing.capacities)


def holds(packing: Packing, puts: Iterable[Put]) -> bool:
    """Whether no device is overfull; engines that take turns count with the largest of them."""
    puts = tuple(puts)
    for device, room in enumerate(packing.capacities):
        here = [put for put in puts if device in put.slot.devices]
        steady = sum((put.shape.asleep_bytes or 0) if put.turn else put.shape.bytes for put in here)
        awake = max((put.shape.bytes - (put.shape.asleep_bytes or 0) for put in here if put.turn), default=0)
        if steady + awake > room or sum(put.share for put in here) > 1 + 1e-9:
            return False
    return True
