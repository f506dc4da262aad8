"""How many whole requests per second given engines keep up with, whatever plan they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ortools.linear_solver import pywraplp  # type: ignore[import-untyped]  # OR-tools ships no types for it

from appliance.domain.placement import PlannedEngine
from appliance.placement.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Sustained:
    """`rate` in whole requests per second; None: no request calls anything. `shares` of the GPUs' time, by engine id.

    `rates` are those of the engines in their share.
    """

    rate: float | None
    shares: Mapping[str, float]
    rates: Mapping[str, float]


def sustained(prepared: Prepared, engines: Sequence[PlannedEngine]) -> Sustained:
    """The best division of the GPUs' time among `engines`; those on GPUs that the problem does not have count nothing.

    Maximise r where, for each called model, Σ rate × share ≥ r, and on each GPU Σ share ≤ 1.
    """
    called = [model_id for model_id, calls in prepared.assignment.calls.items() if calls]
    alone = _alone(prepared, engines)
    if not called:
        return Sustained(None, {}, {})
    solver = pywraplp.Solver.CreateSolver("GLOP")
    shares = {engine.engine_id: solver.NumVar(0.0, 1.0, "") for engine in engines if engine.engine_id in alone}
    rate = solver.NumVar(0.0, solver.infinity(), "")
    for model_id in called:
        kept_up = [
            shares[engine.engine_id] * alone[engine.engine_id]
            for engine in engines
            if engine.model_id == model_id and engine.engine_id in alone
        ]
        solver.Add(sum(kept_up) >= rate if kept_up else rate <= 0)
    for key in {(engine.node, gpu_id) for engine in engines for gpu_id in engine.gpu_ids}:
        here = [shares[e.engine_id] for e in engines if e.engine_id in shares and key in _keys(e)]
        if here:
            solver.Add(sum(here) <= 1)
    solver.Maximize(rate)
    solver.Solve()
    found = {engine_id: share.solution_value() for engine_id, share in shares.items()}
    return Sustained(rate.solution_value(), found, {e: alone[e] * share for e, share in found.items()})


def _alone(prepared: Prepared, engines: Sequence[PlannedEngine]) -> dict[str, float]:
    """The rate of each engine with its GPUs for itself, by engine id."""
    slots = {tuple(prepared.floor.devices[d].key for d in slot.devices): slot for slot in prepared.floor.slots}
    models = {wanted.model_id: index for index, wanted in enumerate(prepared.problem.models)}
    found = {}
    for engine in engines:
        slot = slots.get(_keys(engine))
        if slot is None or engine.model_id not in models:
            continue
        candidate = prepared.candidates.get((models[engine.model_id], slot.kind))
        rate = None if candidate is None else candidate.rate(engine.kv_cache_memory_bytes)
        if rate is not None:
            found[engine.engine_id] = rate * (prepared.packing.turn_share if engine.turn_group else 1.0)
    return found


def _keys(engine: PlannedEngine) -> tuple[tuple[str, str], ...]:
    return tuple((engine.node, gpu_id) for gpu_id in engine.gpu_ids)
