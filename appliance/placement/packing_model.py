"""The placement problem in CP-SAT's terms: what each open slot holds, while the engines on the other devices stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ortools.sat.python import cp_model

from appliance.placement.integers import SHARES, Scale, mebibytes_down, mebibytes_up
from appliance.placement.packing import Packing, Put, Shape, Slot

HEADROOM_STEPS = 100
HEADROOM_TOP = 64 * HEADROOM_STEPS
"""More requests of full length than 64 at once are as good as 64."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A shape that may stand in a slot, or does (`placed` is a constant then). `share` is None where nothing calls it.

    A `turn` engine sleeps and wakes; that is another variable than the same shape awake all the time.
    """

    shape: Shape
    slot: Slot
    turn: bool
    placed: cp_model.IntVar
    share: cp_model.IntVar | None


@dataclass(frozen=True)
class Variables:
    """Everything that the objectives speak of."""

    model: cp_model.CpModel
    engines: list[Engine] = field(default_factory=list)


def build(packing: Packing, open_devices: frozenset[int], start: Sequence[Put]) -> Variables:
    """Variables and all that must hold; `start` is the hint on the open devices and law on the others."""
    variables = Variables(cp_model.CpModel())
    staying = [put for put in start if not open_devices.issuperset(put.slot.devices)]
    _add_staying(variables, staying)
    blocked = {device for put in staying for device in put.slot.devices}
    _add_open(variables, packing, open_devices - blocked)
    _hint(variables, [put for put in start if put not in staying])
    _one_per_model_and_device(variables)
    _memory_and_time(variables, packing)
    _replicas(variables, packing)
    _forbidden(variables, packing)
    _host_memory(variables, packing)
    return variables


def rate_variable(variables: Variables, packing: Packing, scale: Scale) -> cp_model.IntVar:
    """The rate that each called model keeps up with, in steps."""
    rate = variables.model.new_int_var(0, scale.rate_top, "rate")
    for index in packing.bounding:
        terms = [
            scale.rate((e.shape.rate or 0.0) * (packing.turn_share if e.turn else 1)) * e.share
            for e in variables.engines
            if e.shape.model == index and e.share is not None
        ]
        variables.model.add(sum(terms) >= SHARES * rate)
    return rate


def headroom_variable(variables: Variables) -> cp_model.IntVar:
    """The smallest concurrency among the engines, in steps."""
    headroom = variables.model.new_int_var(0, HEADROOM_TOP, "headroom")
    for engine in variables.engines:
        least = min(HEADROOM_TOP, int(engine.shape.concurrency * HEADROOM_STEPS))
        if least < HEADROOM_TOP:
            variables.model.add(headroom <= least).only_enforce_if(engine.placed)
    return headroom


def used_devices(variables: Variables) -> cp_model.LinearExprT:
    """How many devices hold anything."""
    by_device = _by_device(variables.engines)
    used = []
    for device, engines in sorted(by_device.items()):
        flag = variables.model.new_bool_var(f"used{device}")
        for engine in engines:
            variables.model.add_implication(engine.placed, flag)
        used.append(flag)
    return sum(used)


def kept_engines(variables: Variables, packing: Packing) -> cp_model.LinearExprT:
    """How many engines of the running plan stay where they are."""
    return sum(e.placed for e in variables.engines if (e.shape.model, e.slot.devices) in packing.kept)


def _add_staying(variables: Variables, staying: Iterable[Put]) -> None:
    """Engines whose place is given; their part of the time is still free."""
    model = variables.model
    for number, put in enumerate(staying):
        share = None
        if put.shape.rate is not None:
            share = model.new_int_var(0, SHARES, f"f{number}")
            model.add_hint(share, round(put.share * SHARES))
        variables.engines.append(Engine(put.shape, put.slot, put.turn, model.new_constant(1), share))


def _add_open(variables: Variables, packing: Packing, free: frozenset[int]) -> None:
    model = variables.model
    for index, slot in enumerate(packing.slots):
        if not free.issuperset(slot.devices):
            continue
        for shape in packing.shapes_of(index):
            for turn in (False, True) if packing.turns and shape.asleep_bytes is not None else (False,):
                name = f"{shape.model}.{index}.{shape.level}.{int(turn)}"
                placed = model.new_bool_var(f"y{name}")
                share = None
                if shape.rate is not None:
                    share = model.new_int_var(0, SHARES, f"s{name}")
                    model.add(share <= SHARES * placed)
                variables.engines.append(Engine(shape, slot, turn, placed, share))


def _hint(variables: Variables, start: Iterable[Put]) -> None:
    held = {(put.shape, put.slot, put.turn): put.share for put in start}
    if not held:
        return
    for engine in variables.engines:
        if engine.placed.name.startswith("y"):
            share = held.get((engine.shape, engine.slot, engine.turn))
            variables.model.add_hint(engine.placed, share is not None)
            if engine.share is not None:
                variables.model.add_hint(engine.share, int((share or 0.0) * SHARES))


def _by_device(engines: Iterable[Engine]) -> dict[int, list[Engine]]:
    found: dict[int, list[Engine]] = defaultdict(list)
    for engine in engines:
        for device in engine.slot.devices:
            found[device].append(engine)
    return found


def _one_per_model_and_device(variables: Variables) -> None:
    """Two engines of one model never share a device: one with twice the KV cache would do better."""
    groups: dict[tuple[int, int], list[cp_model.IntVar]] = defaultdict(list)
    for engine in variables.engines:
        for device in engine.slot.devices:
            groups[engine.shape.model, device].append(engine.placed)
    for members in groups.values():
        if len(members) > 1:
            variables.model.add_at_most_one(members)


def _memory_and_time(variables: Variables, packing: Packing) -> None:
    """Bytes and time of each device. Of engines that take turns the largest counts, and what the others leave."""
    for device, engines in sorted(_by_device(variables.engines).items()):
        room = mebibytes_down(packing.capacities[device])
        awake = variables.model.new_int_var(0, room, f"awake{device}")
        taken: list[cp_model.LinearExprT] = []
        for engine in engines:
            whole = min(room, mebibytes_up(engine.shape.bytes))  # one that fills the device to the last byte fits
            if engine.turn:
                asleep = mebibytes_up(engine.shape.asleep_bytes or 0)
                taken.append(asleep * engine.placed)
                variables.model.add(awake >= max(0, whole - asleep) * engine.placed)
            else:
                taken.append(whole * engine.placed)
        variables.model.add(sum([*taken, awake]) <= room)
        shares = [engine.share for engine in engines if engine.share is not None]
        if shares:
            variables.model.add(sum(shares) <= SHARES)


def _replicas(variables: Variables, packing: Packing) -> None:
    for index, limits in enumerate(packing.models):
        placed = [engine.placed for engine in variables.engines if engine.shape.model == index]
        if placed:
            variables.model.add_linear_constraint(sum(placed), limits.replicas_min, limits.replicas_max)
        elif limits.replicas_min:
            variables.model.add_bool_or([])  # no slot at all: nothing satisfies this


def _forbidden(variables: Variables, packing: Packing) -> None:
    """Forbidden pairs on each device."""
    by_device = _by_device(variables.engines)
    for pair in packing.forbidden:
        for here in by_device.values():
            first, second = ([e.placed for e in here if e.shape.model == model] for model in pair)
            if first and second:
                variables.model.add(sum(first) + sum(second) <= 1)


def _host_memory(variables: Variables, packing: Packing) -> None:
    for node, room in enumerate(packing.host_bytes):
        sleepers = [e for e in variables.engines if e.turn and e.slot.node == node]
        if sleepers:
            taken = sum(mebibytes_up(e.shape.host_bytes) * e.placed for e in sleepers)
            variables.model.add(taken <= mebibytes_down(room))
