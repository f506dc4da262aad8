"""A plan as values for the chart: the configuration, and one pack per node with its engines under vLLM's names."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from appliance.bootstrap.lineup import in_plan_order
from appliance.chart.settings_part import without_chart_keys
from appliance.config import Settings
from appliance.domain.placement import Pack, PlacementPlan, PlannedEngine

_INSTANCE = re.compile(r" MIG (\S+)$")
"""How NVML and inventories name a MIG instance, after the name of its GPU."""


def helm_values(plan: PlacementPlan, settings: Settings) -> dict[str, Any]:
    """All that the chart wants to know of a plan; nothing that differs between two runs of the same plan.

    `config` is what the configuration says itself, with the models of each role in the plan's order.
    """
    engines = {engine.engine_id: engine for engine in plan.engines}
    order = {(gpu.node, gpu.gpu_id): number for number, gpu in enumerate(plan.gpus)}
    said = in_plan_order(settings, plan).model_dump(mode="json", exclude_unset=True)
    return {
        "config": without_chart_keys(said),
        "packs": [
            {
                "name": f"pack-{number}",
                "node": pack.node,
                "gpus": len(pack.gpu_ids),
                # The n-th of them is the n-th that the pod sees, so they stand in the order of the inventory.
                "gpu_ids": sorted(pack.gpu_ids, key=lambda gpu_id: order[pack.node, gpu_id]),
                **_devices(pack, plan),
                "weights_bytes": sum(_weights_bytes(engines[engine_id]) for engine_id in pack.engine_ids),
                "engines": [_engine(engines[engine_id]) for engine_id in pack.engine_ids],
            }
            for number, pack in enumerate(plan.packs)
        ],
        "turn_groups": [{"name": turn.name, "engines": list(turn.engine_ids)} for turn in plan.turns],
    }


def _devices(pack: Pack, plan: PlacementPlan) -> dict[str, dict[str, int]]:
    """Resources of the pod, where some of its devices are MIG instances: NVIDIA's plugin has one for each profile."""
    names = {(gpu.node, gpu.gpu_id): gpu.name for gpu in plan.gpus}
    found = Counter(_resource(names[pack.node, gpu_id]) for gpu_id in pack.gpu_ids)
    return {"devices": dict(sorted(found.items()))} if set(found) != {_resource("")} else {}


def _resource(gpu_name: str) -> str:
    profile = _INSTANCE.search(gpu_name)
    return "nvidia.com/gpu" if profile is None else f"nvidia.com/mig-{profile[1].replace('+', '.')}"


def _weights_bytes(engine: PlannedEngine) -> int:
    return engine.weights_bytes * engine.tensor_parallel_size


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
