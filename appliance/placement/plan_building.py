"""A packing as a plan: free memory to the KV caches, names, packs, groups that take turns, and reasons in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from appliance.domain.engine_args import not_foreseen
from appliance.domain.placement import Pack, PlacementPlan, PlannedEngine, PlannedGpu, TurnGroup
from appliance.placement.candidates import kv_of
from appliance.placement.drafts import Draft, keep_sizes
from appliance.placement.integers import MEBIBYTE
from appliance.placement.memory import pinned_utilization
from appliance.placement.packing import Packed
from appliance.placement.prepared import Prepared

USEFUL_LENGTHS = 4.0
"""KV beyond what `max_num_seqs` calls take, and beyond so many requests of the full length, is left free."""


def build_plan(prepared: Prepared, packed: Packed, left_out: tuple[str, ...] = ()) -> PlacementPlan:
    """The plan of a packing. `left_out` are models that were given up."""
    drafts = [
        Draft(put, found, kv_of(found, put.shape))
        for put in packed.puts
        for found in [prepared.candidates[put.shape.model, put.shape.kind]]
    ]
    keep_sizes(prepared, drafts)
    _fill(prepared, drafts)
    groups = _turn_groups(prepared, drafts)
    engines = _engines(prepared, drafts)
    turns = tuple(
        TurnGroup(name, node, gpus, tuple(e.engine_id for e in engines if e.turn_group == name))
        for name, node, gpus in groups
    )
    plan = PlacementPlan(
        engines=engines,
        gpus=planned_gpus(prepared),
        packs=packs_of(engines),
        turns=turns,
        roles=prepared.assignment.roles,
        requests_per_s=packed.rate,
        bound_per_s=packed.bound,
        wanted_per_s=prepared.problem.demand.requests_per_s,
        bottleneck=_bottleneck(prepared, packed),
        status=packed.status,
        reasons=(),
    )
    return replace(plan, reasons=reasons_of(prepared, plan, packed.gap, left_out))


def planned_gpus(prepared: Prepared) -> tuple[PlannedGpu, ...]:
    """All devices of the problem, as a plan shows them."""
    reserve_bytes = prepared.problem.constraints.reserve_bytes
    return tuple(
        PlannedGpu(*d.key, d.accelerator.name, d.accelerator.total_bytes, d.accelerator.used_bytes, reserve_bytes)
        for d in prepared.floor.devices
    )


def _fill(prepared: Prepared, drafts: Sequence[Draft]) -> None:
    """What is free on a device in equal parts to its new engines that are always awake; no more than is of use."""
    free = list(prepared.packing.capacities)
    turning = {device for draft in drafts if draft.put.turn for device in draft.put.slot.devices}
    for draft in drafts:
        for device in draft.put.slot.devices:
            free[device] -= draft.booked_bytes
    waiting = [draft for draft in drafts if draft.kept is None and turning.isdisjoint(draft.put.slot.devices)]
    while waiting:
        sharing = Counter(device for draft in waiting for device in draft.put.slot.devices)
        parts = {id(d): min(free[device] // sharing[device] for device in d.put.slot.devices) for d in waiting}
        draft = min(waiting, key=lambda d: (min(parts[id(d)], _useful(d) - d.kv_bytes), d.put.slot.devices))
        waiting.remove(draft)
        more = max(0, min(parts[id(draft)], _useful(draft) - draft.kv_bytes)) // MEBIBYTE * MEBIBYTE
        draft.kv_bytes += more
        for device in draft.put.slot.devices:
            free[device] -= more


def _useful(draft: Draft) -> int:
    calls = draft.found.kv_bytes(draft.found.wanted.max_num_seqs)
    return max(draft.kv_bytes, calls, int(USEFUL_LENGTHS * draft.found.memory.smallest_kv_bytes))


def _turn_groups(prepared: Prepared, drafts: Sequence[Draft]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Turning engines that share a device, directly or through others, are one group. Writes their names down."""
    groups: list[tuple[set[int], list[Draft]]] = []
    for draft in (d for d in drafts if d.put.turn):
        devices, members = set(draft.put.slot.devices), [draft]
        for group in [g for g in groups if g[0] & devices]:
            groups.remove(group)
            devices |= group[0]
            members = [*group[1], *members]
        groups.append((devices, members))
    named = []
    for number, (indices, members) in enumerate(groups, start=1):
        keys = [prepared.floor.devices[index].key for index in sorted(indices)]
        named.append((f"turn-{number}", keys[0][0], tuple(gpu for _, gpu in keys)))
        for draft in members:
            draft.turn_group = f"turn-{number}"
    return named


def _engines(prepared: Prepared, drafts: Sequence[Draft]) -> tuple[PlannedEngine, ...]:
    counts: Counter[str] = Counter()
    engines = []
    for draft in sorted(drafts, key=lambda d: (d.put.shape.model, d.put.slot.devices)):
        found, slot = draft.found, draft.put.slot
        model_id = found.wanted.model_id
        device = prepared.floor.devices[slot.devices[0]]
        engines.append(
            PlannedEngine(
                engine_id=f"{model_id}-{counts[model_id]}",
                model_id=model_id,
                node=device.node.name,
                gpu_ids=tuple(prepared.floor.devices[d].accelerator.gpu_id for d in slot.devices),
                tensor_parallel_size=len(slot.devices),
                kv_cache_memory_bytes=draft.kv_bytes,
                max_model_len=found.wanted.max_model_len,
                max_num_seqs=_sequences(draft),
                max_num_batched_tokens=found.wanted.max_num_batched_tokens,
                gpu_memory_utilization=draft.kept.gpu_memory_utilization
                if draft.kept is not None
                else pinned_utilization(found.memory, device.card, draft.kv_bytes),
                booked_bytes=draft.booked_bytes,
                weights_bytes=found.memory.promised_weights_bytes,
                kv_tokens=found.memory.layout.tokens(draft.kv_bytes),
                requests_per_s=draft.put.rate * (prepared.packing.turn_share if draft.put.turn else 1.0),
                share=draft.put.share,
                roles=prepared.assignment.of(model_id),
                turn_group=draft.turn_group,
                asleep_bytes=found.asleep_bytes if draft.put.turn else 0,
            )
        )
        counts[model_id] += 1
    return tuple(engines)


def _sequences(draft: Draft) -> int:
    if draft.kept is not None:
        return draft.kept.max_num_seqs
    return draft.found.sequences(draft.kv_bytes) if draft.found.calls else draft.found.wanted.max_num_seqs


def packs_of(engines: Sequence[PlannedEngine]) -> tuple[Pack, ...]:
    """The engines of each node."""
    packs = []
    for node in dict.fromkeys(engine.node for engine in engines):
        inside = [engine for engine in engines if engine.node == node]
        gpus = tuple(dict.fromkeys(gpu for engine in inside for gpu in engine.gpu_ids))
        packs.append(Pack(node, gpus, tuple(engine.engine_id for engine in inside)))
    return tuple(packs)


def _bottleneck(prepared: Prepared, packed: Packed) -> str:
    """The called model with the least rate."""
    rates: Counter[int] = Counter()
    for put in packed.puts:
        if put.shape.rate is not None:
            rates[put.shape.model] += round(1e6 * put.rate * (prepared.packing.turn_share if put.turn else 1.0))
    if not rates:
        return ""
    return prepared.problem.models[min(rates, key=lambda model: (rates[model], model))].model_id


def reasons_of(prepared: Prepared, plan: PlacementPlan, gap: float, left_out: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What was decided beyond the picture."""
    said = [*prepared.assignment.notes, *_not_foreseen(prepared, plan)]
    said += [f"{model} was left out: not all fit, and replicas_min 0 allows it" for model in left_out]
    if plan.turns:
        said.append("not all models fit at once; the engines of a turn group sleep and wake, and answer more slowly")
    if plan.requests_per_s is not None and plan.bottleneck:
        called = [r for r in prepared.assignment.of(plan.bottleneck) if prepared.problem.demand.of(r) is not None]
        roles = ", ".join(called)
        said.append(
            f"{plan.bottleneck} ({roles}) bounds the rate at about {plan.requests_per_s:.2f} requests/s (estimate)"
        )
        if plan.wanted_per_s is not None and plan.wanted_per_s > plan.requests_per_s:
            said.append(f"{plan.wanted_per_s:g} requests/s are wanted; add GPUs, or ask {plan.bottleneck} for less")
    if gap > 0.001:
        said.append(f"proven within {gap:.1%} of the best rate under these estimates")
    idle = [gpu for gpu in plan.gpus if not plan.on_gpu(gpu.node, gpu.gpu_id)]
    if idle:
        said.append("free: " + ", ".join(f"{gpu.node}/{gpu.gpu_id}" for gpu in idle))
    return tuple(said)


def _not_foreseen(prepared: Prepared, plan: PlacementPlan) -> Iterator[str]:
    """Placed models with options whose memory was neither reckoned nor measured yet."""
    placed = {engine.model_id for engine in plan.engines}
    for index, wanted in enumerate(prepared.problem.models):
        cold = any(c.memory.source == "cold" for (model, _), c in prepared.candidates.items() if model == index)
        args = not_foreseen(wanted.extra_args)
        if wanted.model_id in placed and cold and args:
            yield (
                f"{wanted.model_id}: not foreseen: what {', '.join(args)} takes; it counts once a start has measured "
                "it, so leave room (placement.reserve_bytes)"
            )
