"""A plan as values for the chart: one pack per node, with its engines under vLLM's names."""

from __future__ import annotations

from typing import Any

from appliance.domain.placement import PlacementPlan, PlannedEngine


def helm_values(plan: PlacementPlan) -> dict[str, Any]:
    """`packs` and `roles`; nothing that differs between two runs of the same plan."""
    engines = {engine.engine_id: engine for engine in plan.engines}
    return {
        "packs": [
            {
                "name": f"pack-{number}",
                "node": pack.node,
                "gpus": len(pack.gpu_ids),
                "gpu_ids": list(pack.gpu_ids),
                "engines": [_engine(engines[engine_id]) for engine_id in pack.engine_ids],
            }
            for number, pack in enumerate(plan.packs)
        ],
        "turn_groups": [{"name": turn.name, "engines": list(turn.engine_ids)} for turn in plan.turns],
        "roles": {role: list(models) for role, models in plan.roles},
    }


def _engine(engine: PlannedEngine) -> dict[str, Any]:
    return {
        "id": engine.engine_id,
        "model": engine.model_id,
        "gpu_ids": list(engine.gpu_ids),
        "tensor_parallel_size": engine.tensor_parallel_size,
        "kv_cache_memory_bytes": engine.kv_cache_memory_bytes,
        "gpu_memory_utilization": engine.gpu_memory_utilization,
        "max_model_len": engine.max_model_len,
        "max_num_seqs": engine.max_num_seqs,
        "max_num_batched_tokens": engine.max_num_batched_tokens,
        "enable_sleep_mode": bool(engine.turn_group),
    }
