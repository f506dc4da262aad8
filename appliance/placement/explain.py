"""Why a model lies where it lies: what it takes in every kind of place, and what decided."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.domain.placement import PlacementPlan, Unplaceable
from appliance.placement.candidates import Candidate, kv_of, shapes
from appliance.placement.prepared import Prepared, prepare
from appliance.placement.problem import Problem
from appliance.placement.solver import solve

GIB = 2**30


def explain(problem: Problem, model_id: str) -> tuple[str, ...]:
    """Lines for a person. The model must be one of the problem's."""
    prepared, answer = prepare(problem), solve(problem)
    return (
        *_about(prepared, model_id),
        *_places(prepared, model_id),
        *(_chosen(answer, model_id) if isinstance(answer, PlacementPlan) else _refused(answer)),
    )


def _about(prepared: Prepared, model_id: str) -> Iterator[str]:
    wanted = next(w for w in prepared.problem.models if w.model_id == model_id)
    model = wanted.model
    numbers = f"{model.parameters / 1e9:.1f} B parameters, {model.quantization or model.dtype}"
    yield f"{model_id}: {numbers}, family {model.family}, licence {model.licence}"
    yield f"roles it bears: {', '.join(prepared.assignment.of(model_id)) or 'none; it stands in when others fail'}"
    yield (
        f"asked for: max_model_len {wanted.max_model_len}, at most {wanted.max_num_seqs} sequences, "
        f"{wanted.replicas_min} to {wanted.replicas_max} engines"
    )
    if wanted.gpus or wanted.nodes:
        yield "pinned to " + ", ".join([*("/".join(key) for key in sorted(wanted.gpus)), *sorted(wanted.nodes)])
    for pair in prepared.problem.constraints.forbidden:
        if model_id in pair:
            yield f"may not share a GPU with {pair[1] if pair[0] == model_id else pair[0]}"
    yield from (note for note in prepared.assignment.notes if model_id in note)


def _places(prepared: Prepared, model_id: str) -> Iterator[str]:
    """Each kind of slot: bytes by part, and what it yields."""
    index = [w.model_id for w in prepared.problem.models].index(model_id)
    yield "places it could take:"
    for number, kind in enumerate(prepared.floor.kinds):
        size = f"{kind.size}× " if kind.size > 1 else ""
        link = " (NVLink)" if kind.nvlink else " (PCIe)" if kind.size > 1 else ""
        name = f"  {size}{kind.device.accelerator.name}{link}"
        found = prepared.candidates.get((index, number))
        if found is None:
            yield f"{name}: not possible (ranks, licence, or class of data)"
            continue
        yield f"{name}: {_verdict(found, index, number)}"


def _verdict(found: Candidate, index: int, number: int) -> str:
    parts = ", ".join(f"{name} {size / GIB:.1f}" for name, size in found.memory.parts.items())
    room = found.kind.device.room_bytes
    needed = found.memory.total_bytes(found.least_kv_bytes)
    told = f"{parts}, smallest KV {found.least_kv_bytes / GIB:.1f}: {needed / GIB:.1f} of {room / GIB:.1f} GiB each"
    levels = list(shapes(index, found, number, room))
    if not levels:
        return f"{told}; {(needed - room) / GIB:.1f} GiB short"
    best = levels[-1]
    if best.rate is None:
        return f"{told}; fits, and no request calls it"
    return (
        f"{told}; fits, and alone with {kv_of(found, best) / GIB:.1f} GiB of KV cache keeps up with "
        f"{best.rate:.2f} requests/s (estimate)"
    )


def _chosen(plan: PlacementPlan, model_id: str) -> Iterator[str]:
    for engine in plan.engines:
        if engine.model_id != model_id:
            continue
        gpus = ", ".join(f"{engine.node}/{gpu}" for gpu in engine.gpu_ids)
        beside = sorted({e.model_id for gpu in engine.gpu_ids for e in plan.on_gpu(engine.node, gpu)} - {model_id})
        company = f" beside {', '.join(beside)}" if beside else " alone"
        yield (
            f"chosen: {gpus}{company}, {engine.booked_bytes / GIB:.1f} GiB each, {engine.share:.0%} of the time, "
            f"about {engine.requests_per_s:.2f} requests/s"
        )
    if plan.requests_per_s is not None:
        whose = "this model" if plan.bottleneck == model_id else plan.bottleneck
        yield f"the plan sustains about {plan.requests_per_s:.2f} requests/s; {whose} bounds it"
    yield from plan.reasons


def _refused(answer: Unplaceable) -> Iterator[str]:
    yield "there is no placement for the pool:"
    yield from answer.reasons
