"""What speaks against the plan that runs: GPUs that are gone, and GPUs on which it does not fit any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from appliance.domain.placement import PlacementPlan, PlannedEngine, PlannedGpu, taken_bytes

GIB = 2**30


class Kind(StrEnum):
    """What is wrong with a GPU."""

    GONE = "gone"
    OVERFULL = "overfull"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One GPU, what is wrong with it, and in words with figures."""

    gpu_id: str
    kind: Kind
    reason: str

    @property
    def key(self) -> tuple[str, Kind]:
        """Without the figures, which change from look to look."""
        return self.gpu_id, self.kind


@dataclass(frozen=True, slots=True)
class Seen:
    """The machine at one look.

    `others_bytes` has each GPU that engines can be put on, with what others than the engines hold of it; `ill` says of
    GPUs why none can. `measured_bytes` is what engines take of the fullest of their GPUs, where that is known; of those
    in `asleep` it is what they take while they sleep.
    """

    others_bytes: Mapping[str, int]
    ill: Mapping[str, str]
    measured_bytes: Mapping[str, int]
    asleep: frozenset[str] = frozenset()


def as_measured(engine: PlannedEngine, seen: Seen) -> PlannedEngine:
    """With at least the bytes that were measured."""
    measured = seen.measured_bytes.get(engine.engine_id, 0)
    if engine.engine_id in seen.asleep:
        return replace(engine, asleep_bytes=max(engine.asleep_bytes, measured))
    return replace(engine, booked_bytes=max(engine.booked_bytes, measured))


def troubles(plan: PlacementPlan, seen: Seen, slack_bytes: int) -> tuple[Trouble, ...]:
    """Of all GPUs that have engines; up to `slack_bytes` of the reserve may be taken without one."""
    found = []
    for gpu in plan.gpus:
        engines = plan.on_gpu(gpu.node, gpu.gpu_id)
        if not engines:
            continue
        if gpu.gpu_id not in seen.others_bytes:
            why = seen.ill.get(gpu.gpu_id, "it is not there any more")
            found.append(Trouble(gpu.gpu_id, Kind.GONE, f"GPU {gpu.gpu_id}: {why}"))
        elif reason := _overfull(gpu, engines, seen, slack_bytes):
            found.append(Trouble(gpu.gpu_id, Kind.OVERFULL, reason))
    return tuple(found)


def lasting(now: Collection[Trouble], before: Collection[Trouble]) -> tuple[Trouble, ...]:
    """Those to act upon: what takes memory may give it back at once, so a full GPU counts when it was seen twice."""
    known = {trouble.key for trouble in before}
    return tuple(trouble for trouble in now if trouble.kind is Kind.GONE or trouble.key in known)


def staying(plan: PlacementPlan, found: Collection[Trouble], seen: Seen) -> tuple[PlannedEngine, ...]:
    """The engines that need not move, with what they were seen to take.

    On an overfull GPU those stay that keep to their plan; where all do, others took the memory, and none stays.
    """
    gone = {trouble.gpu_id for trouble in found if trouble.kind is Kind.GONE}
    full = {trouble.gpu_id for trouble in found if trouble.kind is Kind.OVERFULL}
    larger = {engine.engine_id for engine in plan.engines if as_measured(engine, seen) != engine}
    stay = []
    for engine in plan.engines:
        on_full = full.intersection(engine.gpu_ids)
        alone = any(larger.isdisjoint(e.engine_id for e in plan.on_gpu(engine.node, gpu_id)) for gpu_id in on_full)
        moves = gone.intersection(engine.gpu_ids) or (on_full and (engine.engine_id in larger or alone))
        if not moves:
            stay.append(as_measured(engine, seen))
    return tuple(stay)


def _overfull(gpu: PlannedGpu, engines: tuple[PlannedEngine, ...], seen: Seen, slack_bytes: int) -> str:
    others = seen.others_bytes[gpu.gpu_id]
    mine = taken_bytes([as_measured(engine, seen) for engine in engines])
    over = others + mine + gpu.reserve_bytes - gpu.total_bytes - slack_bytes
    if over <= 0:
        return ""
    causes = [
        f"{e.engine_id} takes {seen.measured_bytes[e.engine_id] / GIB:.1f} GiB, planned {e.booked_bytes / GIB:.1f}"
        for e in engines
        if as_measured(e, seen) != e
    ]
    if others > gpu.used_bytes:
        causes.append(
            f"others hold {others / GIB:.1f} GiB, {(others - gpu.used_bytes) / GIB:.1f} more than planned for"
        )
    return (
        f"GPU {gpu.gpu_id}: {mine / GIB:.1f} GiB of its engines and {others / GIB:.1f} GiB of others do not fit "
        f"{gpu.total_bytes / GIB:.1f} GiB with the reserve ({'; '.join(causes) or 'as planned'})"
    )
