"""An engine that nobody has seen run: what the data sheets of its hardware and the shape of its model say. Pure.

The roofline is the one of `placement.throughput`; here it becomes the cost of a step. Real engines are seldom within a
few percent of it, so the profile says `unmeasured` and has a wide band; a measured one should take its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance.capacity.engine_profile import EngineProfile, Source, StepCost
from appliance.domain.geometry import Attention, Geometry, LatentAttention
from appliance.domain.model import Model
from appliance.placement.memory import EngineMemory
from appliance.placement.throughput import ARITHMETIC_SHARE, Speed, pace

BAND: Final = 0.4
"""Published estimates of this kind miss single engines by tens of percent in either direction."""
CALL_S: Final = 0.005
"""HTTP, template and tokens of a call: of the order that measured engines show."""
LOAD_BYTES_S: Final = 2e9
START_S: Final = 40.0
"""Weights from a local disk, and what a start takes beside them (imports, compilation, graphs)."""
WAKE_BYTES_S: Final = 20e9
"""Weights from the memory of the host, over PCIe."""


@dataclass(frozen=True, slots=True)
class Build:
    """How the engine would be started, on what. `kv_bytes` is its KV cache on each GPU."""

    hardware: str
    speed: Speed
    tensor_parallel_size: int
    nvlink: bool
    kv_bytes: int
    max_num_seqs: int
    max_num_batched_tokens: int
    vllm_version: str


def roofline(model: Model, memory: EngineMemory, build: Build) -> EngineProfile:
    """The engine's profile, from its memory as the placement reckons it. Raises ValueError without a geometry."""
    geometry = model.geometry
    if geometry is None:
        raise ValueError(f"{model.model_id} has no geometry")
    ranks, layout = build.tensor_parallel_size, memory.layout
    found = pace(geometry, memory.weights_bytes, layout.bytes_per_token, build.speed, ranks, nvlink=build.nvlink)
    typical = max(1, build.max_num_seqs // 4)
    visited = 1 - (1 - found.expert_share) ** typical if found.expert_share else 0.0
    flops = build.speed.flops * ARITHMETIC_SHARE * ranks
    step = StepCost(
        fixed_s=found.fixed_step_s + found.weights_s + found.experts_s * visited,
        prefill_token_s=found.prefill_s,
        decode_sequence_s=found.token_s,
        kv_token_s=found.kv_token_s,
        prefill_context_s=_pair_flops(geometry) / flops,
        band=BAND,
    )
    weights_bytes = memory.weights_bytes
    return EngineProfile(
        model_id=model.model_id,
        revision=model.revision,
        hardware=build.hardware,
        vllm_version=build.vllm_version,
        step=step,
        kv_tokens=max(layout.block_size, layout.tokens(build.kv_bytes)),
        block_size=layout.block_size,
        max_num_seqs=build.max_num_seqs,
        max_num_batched_tokens=build.max_num_batched_tokens,
        max_model_len=memory.max_model_len,
        source=Source.UNMEASURED,
        tensor_parallel_size=ranks,
        call_s=CALL_S,
        start_s=START_S + weights_bytes / LOAD_BYTES_S,
        wake_s=weights_bytes / WAKE_BYTES_S,
        note=(
            f"roofline of {build.speed.bandwidth_bytes_s / 1e9:.0f} GB/s and {build.speed.flops / 1e12:.0f} TFLOP/s; "
            "not measured"
        ),
    )


def _pair_flops(geometry: Geometry) -> float:
    """Operations of all layers for one token that looks at one other: 2 for its score, 2 for its value, per channel."""
    total = 0.0
    for group in geometry.groups:
        mixer = group.mixer
        if isinstance(mixer, Attention):
            total += group.count * 2 * mixer.heads * (mixer.head_size + mixer.head_size_v)
        elif isinstance(mixer, LatentAttention):
            width = mixer.qk_nope_head_size + mixer.qk_rope_head_size + mixer.v_head_size
            total += group.count * 2 * mixer.heads * width
    return total
