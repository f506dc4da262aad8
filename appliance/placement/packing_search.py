"""Solves the packing, one objective after the other: rate, KV headroom, devices, moves, and last the number of engines.

Few devices are solved at once. On many, the best mixture of blocks is taken (`packing_many.py`), then improved in
windows: some islands are open, the engines on the others stay where they are, and only their part of the time may
change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ortools.sat.python import cp_model

from appliance.placement.greedy import greedy
from appliance.placement.integers import SHARES, Scale, scale_for, solver_of
from appliance.placement.packing import Packed, Packing, Put, highest_rate, rate_of
from appliance.placement.packing_many import Mixed, Mixing, mix
from appliance.placement.packing_model import (
    Variables,
    build,
    headroom_variable,
    kept_engines,
    rate_variable,
    used_devices,
)
from appliance.placement.rate_bound import rate_bound

NEIGHBOURS = 8
"""An island of more devices is opened in parts."""


@dataclass(frozen=True, slots=True)
class Effort:
    """CP-SAT's deterministic time for each solve, and how many devices are open at once.

    With more than `open_devices` devices, `mixing` says how a mixture is sought, and `later_rounds` windows are opened
    for the objectives after the rate.
    """

    rate: float = 2.0
    window: float = 0.1
    later: float = 0.1
    bound: float = 0.2
    open_devices: int = 16
    later_rounds: int = 1
    mixing: Mixing = field(default_factory=Mixing)


def pack(packing: Packing, effort: Effort | None = None) -> Packed | None:
    """The best packing found, or None where there is provably none, or none was found within the effort."""
    effort = effort or Effort()
    if len(packing.capacities) > effort.open_devices and not packing.turns:
        mixed = mix(packing, effort.mixing)
        if mixed is not None:
            return _by_windows(packing, mixed, effort)
    scale = scale_for(highest_rate(packing))
    bound = rate_bound(packing, scale, effort.bound) if packing.bounding else None
    if packing.bounding and bound is None:
        return None
    start = () if packing.turns else greedy(packing, bound or 0.0) or ()
    first = _solve(packing, frozenset(range(len(packing.capacities))), start, scale, bound, effort)
    if first is None:
        return None
    if first.rate is None or bound is None:
        return Packed(first.puts, first.rate, None, "optimal")
    bound = max(first.rate, min(bound, first.bound))
    return Packed(first.puts, first.rate, bound, _status(first.rate, bound))


def feasible(packing: Packing, effort: float = 1.0) -> bool:
    """Whether everything can be placed at all; False also where that was not found out within the effort."""
    if not packing.turns and greedy(packing, 0.0) is not None:
        return True
    variables = build(packing, frozenset(range(len(packing.capacities))), ())
    return _Search(variables).step(0, effort)


def _status(rate: float, bound: float) -> str:
    return "optimal" if rate >= bound * (1 - 2 / SHARES) else "feasible"


def _by_windows(packing: Packing, mixed: Mixed, effort: Effort) -> Packed:
    """The mixture, improved by windows for the objectives after the rate."""
    puts, rate, bound = mixed.puts, rate_of(packing, mixed.puts), mixed.bound
    scale = scale_for(highest_rate(packing))
    for window in _idlest(packing, puts, effort, effort.later_rounds):
        tidied = _solve(packing, window, puts, scale, bound, effort)
        if tidied is not None and (rate is None or (tidied.rate or 0.0) >= rate * (1 - 1 / SHARES)):
            puts, rate = tidied.puts, tidied.rate
    if rate is None or bound is None:
        return Packed(puts, None, None, "feasible")
    return Packed(puts, rate, max(bound, rate), _status(rate, bound))


def _idlest(packing: Packing, puts: Sequence[Put], effort: Effort, count: int) -> Iterator[frozenset[int]]:
    """Windows of neighbours: the idlest one with the second, then with the third, and so on."""
    idle = [1.0] * len(packing.capacities)
    for put in puts:
        for device in put.slot.devices:
            idle[device] -= put.share
    groups: dict[tuple[int, int], list[int]] = {}
    for device, island in enumerate(packing.islands):
        position = sum(island == other for other in packing.islands[:device])
        groups.setdefault((island, position // NEIGHBOURS), []).append(device)
    ordered = sorted(groups.values(), key=lambda group: (-sum(idle[device] for device in group), group))
    for number in range(count):
        opened: list[int] = list(ordered[number // len(ordered) % len(ordered)])
        for step in range(1, len(ordered)):
            group = ordered[(number + step) % len(ordered)]
            if len(opened) + len(group) <= effort.open_devices:
                opened += [device for device in group if device not in opened]
        yield frozenset(opened)


@dataclass(frozen=True, slots=True)
class _Found:
    puts: tuple[Put, ...]
    rate: float | None
    bound: float


def _solve(
    packing: Packing,
    opened: frozenset[int],
    start: Sequence[Put],
    scale: Scale,
    bound: float | None,
    effort: Effort,
    *,
    later: bool = True,
) -> _Found | None:
    """One window, or everything. Each objective is held while the next is sought."""
    variables = build(packing, opened, start)
    search = _Search(variables)
    if packing.turns and not search.step(sum(e.placed for e in variables.engines if e.turn), effort.later, lower=True):
        return None
    proven = 0.0
    if packing.bounding:
        steps = rate_variable(variables, packing, scale)
        if bound is not None:
            variables.model.add(steps <= int(bound / scale.step) + 1)
        whole = len(opened) == len(packing.capacities)
        if not search.step(steps, effort.rate if whole else effort.window):
            return None
        proven = scale.per_second(search.bound)
    elif not search.step(0, effort.rate):
        return None
    if later:
        search.step(headroom_variable(variables), effort.later)
        search.step(used_devices(variables), effort.later, lower=True)
        if packing.kept:
            search.step(kept_engines(variables, packing), effort.later)
        search.step(sum(engine.placed for engine in variables.engines), effort.later, lower=True)
    puts = search.puts()
    return _Found(puts, rate_of(packing, puts), proven)


class _Search:
    """Solves for one expression after the other and keeps the values of the newest solution."""

    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self._values: list[int] = []
        self.bound = 0.0

    def step(self, goal: cp_model.LinearExprT, effort: float, *, lower: bool = False) -> bool:
        """Find the best `goal` and hold it from now on; False, and nothing changed, where nothing was found."""
        model = self._variables.model
        if lower:
            model.minimize(goal)
        else:
            model.maximize(goal)
        solver = solver_of(effort)
        if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return False
        value, self.bound = round(solver.objective_value), solver.best_objective_bound
        self._values = list(solver.response_proto.solution)
        if not isinstance(goal, int):
            model.add(goal <= value if lower else goal >= value)
        model.clear_hints()  # type: ignore[no-untyped-call]  # OR-tools leaves this one untyped
        for index, number in enumerate(self._values):
            model.add_hint(model.get_int_var_from_proto_index(index), number)
        return True

    def puts(self) -> tuple[Put, ...]:
        """The engines of the newest solution, by place."""
        puts = [
            Put(e.shape, e.slot, self._values[e.share.index] / SHARES if e.share is not None else 0.0, e.turn)
            for e in self._variables.engines
            if self._values[e.placed.index]
        ]
        return tuple(sorted(puts, key=lambda put: (put.slot.devices, put.shape.model)))
