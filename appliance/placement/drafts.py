"""Engines on their way into a plan: their KV caches may still grow, or stay as they run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.domain.placement import PlannedEngine
from appliance.placement.candidates import Candidate
from appliance.placement.packing import Put
from appliance.placement.prepared import Prepared

KEEP_LOSS = 0.05
"""An engine keeps the size that it runs with unless another one is faster by more than this share: a start takes
minutes."""


@dataclass(slots=True)
class Draft:
    """An engine. `kept` is the running one of the same size in the same place: nothing of it changes."""

    put: Put
    found: Candidate
    kv_bytes: int
    turn_group: str = ""
    kept: PlannedEngine | None = None

    @property
    def booked_bytes(self) -> int:
        """All of it, per device."""
        return self.found.memory.total_bytes(self.kv_bytes)


def keep_sizes(prepared: Prepared, drafts: Sequence[Draft]) -> None:
    """Engines that stay where they run keep their size, one after the other, as long as all fit."""
    running = prepared.problem.running
    places = {} if running is None else {engine.place: engine for engine in running.engines}
    for draft in drafts:
        devices = [prepared.floor.devices[device] for device in draft.put.slot.devices]
        gpu_ids = tuple(device.accelerator.gpu_id for device in devices)
        before = places.get((draft.found.wanted.model_id, devices[0].node.name, gpu_ids))
        if before is None or not _may_stay(draft, before):
            continue
        chosen, draft.kv_bytes = draft.kv_bytes, before.kv_cache_memory_bytes
        if holds(prepared.packing.capacities, drafts):
            draft.kept = before
        else:
            draft.kv_bytes = chosen


def holds(capacities: Sequence[int], drafts: Iterable[Draft]) -> bool:
    """Whether no device is overfull; of those that take turns the largest is awake."""
    steady = [0] * len(capacities)
    awake = [0] * len(capacities)
    for draft in drafts:
        asleep = draft.found.asleep_bytes if draft.put.turn else draft.booked_bytes
        for device in draft.put.slot.devices:
            steady[device] += asleep
            awake[device] = max(awake[device], draft.booked_bytes - asleep)
    return all(steady[device] + awake[device] <= room for device, room in enumerate(capacities))


def _may_stay(draft: Draft, before: PlannedEngine) -> bool:
    wanted, kv_bytes = draft.found.wanted, before.kv_cache_memory_bytes
    same = (
        before.max_model_len == wanted.max_model_len
        and before.max_num_batched_tokens == wanted.max_num_batched_tokens
        and before.max_num_seqs <= wanted.max_num_seqs
        and bool(before.turn_group) is draft.put.turn
    )
    if not same or kv_bytes < draft.found.least_kv_bytes:
        return False
    chosen, kept = draft.found.rate(draft.kv_bytes), draft.found.rate(kv_bytes)
    return chosen is None or kept is None or kept >= chosen * (1 - KEEP_LOSS)
