"""Planned engines and the pool's options for their models → what is to be started. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from appliance.domain.engine import Device, EngineSpec
from appliance.domain.placement import PlacementPlan, PlannedEngine, PoolEntry

SLEEP_LEVEL = 1
"""vLLM's: weights go to the host's memory, which the plan has seen to."""


def planned_specs(
    plan: PlacementPlan, entries: Mapping[str, PoolEntry], ports: Sequence[int]
) -> tuple[EngineSpec, ...]:
    """One spec per planned engine, on `ports` in the plan's order. `entries` are the pool's by model."""
    return tuple(
        _spec(engine, entries[engine.model_id], port) for engine, port in zip(plan.engines, ports, strict=False)
    )


def _spec(engine: PlannedEngine, entry: PoolEntry, port: int) -> EngineSpec:
    """Place, bytes and sizes are the plan's; what does not touch them is the pool's."""
    return EngineSpec(
        engine_id=engine.engine_id,
        model_id=engine.model_id,
        model_path=entry.model_path,
        device=Device.CUDA,
        port=port,
        max_model_len=engine.max_model_len,
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        kv_cache_memory_bytes=engine.kv_cache_memory_bytes,
        dtype=entry.dtype,
        gpu_ids=engine.gpu_ids,
        tensor_parallel_size=engine.tensor_parallel_size,
        pipeline_parallel_size=engine.pipeline_parallel_size,
        gpu_memory_utilization=engine.gpu_memory_utilization,
        enforce_eager=entry.enforce_eager,
        tool_parser=entry.model.tool_parser,
        reasoning_parser=entry.model.reasoning_parser,
        extra_args=entry.extra_args,
        turn_group=engine.turn_group,
        node=engine.node,
        sleep_level=SLEEP_LEVEL if engine.turn_group else 0,
        task=entry.model.task,
    )
