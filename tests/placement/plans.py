"""Plans by hand, for decisions about plans."""

from __future__ import annotations

from appliance.domain.placement import PlacementPlan, PlannedEngine, PlannedGpu, TurnGroup

GIB = 2**30


def planned(engine_id: str, *gpu_ids: str, gib: float = 10, kv_gib: float = 2, turn: str = "") -> PlannedEngine:
    """An engine of the model that its id begins with, on node `n`."""
    return PlannedEngine(
        engine_id=engine_id,
        model_id=engine_id.rpartition("-")[0],
        node="n",
        gpu_ids=gpu_ids,
        tensor_parallel_size=len(gpu_ids),
        kv_cache_memory_bytes=round(kv_gib * GIB),
        max_model_len=4096,
        max_num_seqs=8,
        max_num_batched_tokens=2048,
        gpu_memory_utilization=0.4,
        booked_bytes=round(gib * GIB),
        weights_bytes=GIB,
        kv_tokens=5000,
        requests_per_s=0.0,
        share=0.0,
        turn_group=turn,
        asleep_bytes=GIB if turn else 0,
    )


def plan(*engines: PlannedEngine, per_s: float | None = 1.0, wanted: float | None = None) -> PlacementPlan:
    """On GPUs of 24 GiB with 1 GiB of others and 1 GiB of reserve, as many as are named."""
    gpus = dict.fromkeys(("0", "1", *(gpu for engine in engines for gpu in engine.gpu_ids)))
    groups = dict.fromkeys(engine.turn_group for engine in engines if engine.turn_group)
    return PlacementPlan(
        engines=engines,
        gpus=tuple(PlannedGpu("n", gpu, "card", 24 * GIB, GIB, GIB) for gpu in gpus),
        packs=(),
        turns=tuple(
            TurnGroup(name, "n", ("0",), tuple(e.engine_id for e in engines if e.turn_group == name)) for name in groups
        ),
        roles=(),
        requests_per_s=per_s,
        bound_per_s=None,
        wanted_per_s=wanted,
        bottleneck="",
        status="optimal",
        reasons=(),
    )
