"""Nodes as devices and slots: which blocks of GPUs one engine may take, NVLink islands first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from appliance.domain.gpu import Card
from appliance.domain.node import Accelerator, Node
from appliance.placement.packing import Slot
from appliance.placement.problem import ALL_SIZES


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator at its node. `room_bytes` may be taken by engines."""

    node: Node
    accelerator: Accelerator
    room_bytes: int

    @property
    def key(self) -> tuple[str, str]:
        """Node and GPU id."""
        return self.node.name, self.accelerator.gpu_id

    @property
    def card(self) -> Card:
        """As the memory model wants it."""
        return self.accelerator.card

    @property
    def kind(self) -> tuple[object, ...]:
        """Devices of equal kind are interchangeable."""
        a = self.accelerator
        classes = tuple(sorted(self.node.data_classes))
        return (a.name, a.total_bytes, bool(a.parent), a.bandwidth_bytes_s, a.flops, classes)


@dataclass(frozen=True, slots=True)
class SlotKind:
    """Slots of equal kind take the same shapes. `device` stands for all of them."""

    device: Device
    size: int
    nvlink: bool


@dataclass(frozen=True)
class Floor:
    """All devices and slots; `kinds` is indexed by `Slot.kind`, `classes` by device."""

    devices: tuple[Device, ...]
    classes: tuple[int, ...]
    islands: tuple[int, ...]
    slots: tuple[Slot, ...]
    kinds: tuple[SlotKind, ...]


def floor_of(nodes: Sequence[Node], reserve_bytes: int) -> Floor:
    """Devices in the inventory's order; what others hold and the reserve are taken off."""
    devices = tuple(
        Device(node, a, max(0, a.total_bytes - a.used_bytes - reserve_bytes))
        for node in nodes
        for a in node.accelerators
    )
    known = list(dict.fromkeys(device.kind for device in devices))
    numbers = {node.name: index for index, node in enumerate(nodes)}
    kinds: dict[tuple[object, ...], int] = {}
    described: list[SlotKind] = []
    slots = []
    for members, nvlink in _blocks(devices):
        key = (devices[members[0]].kind, len(members), nvlink)
        if key not in kinds:
            kinds[key] = len(described)
            described.append(SlotKind(devices[members[0]], len(members), nvlink))
        slots.append(Slot(kinds[key], members, numbers[devices[members[0]].node.name]))
    return Floor(
        devices,
        tuple(known.index(device.kind) for device in devices),
        tuple(numbers[device.node.name] for device in devices),
        tuple(slots),
        tuple(described),
    )


def _blocks(devices: Sequence[Device]) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Single devices; aligned blocks inside NVLink islands; over PCIe what no island holds. MIG stays single."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, device in enumerate(devices):
        yield (index,), False
        if not device.accelerator.parent:
            groups.setdefault((device.node.name, device.kind), []).append(index)
    for members in groups.values():
        island = {index: devices[index].accelerator.island for index in members}
        ordered = sorted(members, key=lambda index: (island[index], index))
        for size in ALL_SIZES[1:]:
            linked = [name for name in dict.fromkeys(island.values()) if name]
            within = {name: [index for index in ordered if island[index] == name] for name in linked}
            found = [block for name in linked for block in _aligned(within[name], size)]
            yield from ((block, True) for block in found)
            if not found or any(not name for name in island.values()):
                rest = ordered if not found else [index for index in ordered if not island[index]]
                yield from ((block, False) for block in _aligned(rest, size))


def _aligned(members: Sequence[int], size: int) -> list[tuple[int, ...]]:
    starts = range(0, len(members) - size + 1, size)
    return [tuple(members[start : start + size]) for start in starts]
