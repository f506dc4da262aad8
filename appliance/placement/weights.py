"""Bytes of weights on one rank: what tensor parallelism splits, what ranks hold whole, what quantisation shrinks."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from appliance.domain.geometry import (
    Attention,
    Experts,
    FeedForward,
    Geometry,
    LatentAttention,
    LayerGroup,
    Recurrent,
    expert_parameters,
    feed_forward_parameters,
    latent_shared_parameters,
    latent_split_parameters,
    router_parameters,
    shared_parameters,
)

VOCABULARY_PADDING = 64
"""vLLM pads the vocabulary to a multiple of it (vllm/model_executor/layers/vocab_parallel_embedding.py)."""


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """Bytes per element: `plain` for what stays in the model's own format, `linear` and `experts` for the rest.

    `expert_padding` rounds the experts' hidden size and the per-rank intermediate size up to multiples, as the MXFP4
    kernels want it.
    """

    name: str
    plain: float
    linear: float
    experts: float
    expert_padding: tuple[int, int] = (1, 1)
    latent_copy: bool = False


def weight_format(quantization: str | None, architecture: str, dtype_bytes: float = 2) -> WeightFormat:
    """The format that a checkpoint's `quantization` names; raises ValueError for an unknown one.

    Sources, all of vLLM's quantisation layers: fp8 is one byte and a scale per channel or 128×128 block (below 0.1%);
    4-bit integers are half a byte with a 16-bit scale and a 4-bit zero per 128; bitsandbytes' NF4 half a byte with a
    32-bit scale per 64; MXFP4 half a byte with an 8-bit scale per 32; NVFP4 half a byte with an 8-bit scale per 16.
    MXFP4's Marlin kernel pads the hidden size to 256 and a rank's intermediate size to 128 (quantization/mxfp4.py).
    Llama 4 and gpt-oss quantise their routed experts only (`ignore` and `modules_to_not_convert` of their published
    configuration). Quantised latent attention keeps a second copy of kv_b in the plain format for decoding
    (attention/layers/mla: process_weights_after_loading).
    """
    name = (quantization or "").lower().replace("_", "-")
    if not name or name in {"none", "bfloat16", "float16"}:
        return WeightFormat("none", dtype_bytes, dtype_bytes, dtype_bytes)
    if "mxfp4" in name:
        return WeightFormat("mxfp4", dtype_bytes, dtype_bytes, 0.5 + 1 / 32, (256, 128))
    if "fp4" in name:
        return WeightFormat("nvfp4", dtype_bytes, 0.5 + 1 / 16, 0.5 + 1 / 16, latent_copy=True)
    if "fp8" in name or "int8" in name or "w8a8" in name:
        linear = dtype_bytes if architecture.startswith("Llama4") else 1 + 1 / 4096
        return WeightFormat("fp8", dtype_bytes, linear, 1 + 1 / 4096, latent_copy=True)
    if "bitsandbytes" in name or "bnb" in name:
        return WeightFormat("nf4", dtype_bytes, 0.5 + 4 / 64, 0.5 + 4 / 64, latent_copy=True)
    if any(key in name for key in ("awq", "gptq", "int4", "w4a16")):
        return WeightFormat("int4", dtype_bytes, 0.5 + 2.5 / 128, 0.5 + 2.5 / 128, latent_copy=True)
    raise ValueError(
        f"unknown quantization {quantization!r}: know none, fp8, int8, awq, gptq, int4, bitsandbytes, mxfp4, nvfp4"
    )


def weight_bytes(geometry: Geometry, numbers: WeightFormat, tensor_parallel_size: int, expert_ranks: int = 0) -> int:
    """Bytes of the tensors on the fullest rank, before the allocator rounds them.

    Linear and expert weights ÷ TP, norms, routers and latent down-projections whole on each rank, key-value heads per
    rank max(1, kv_heads // TP), the vocabulary padded to 64 and split, a tied head once (vllm/config/model.py
    get_num_kv_heads, and the parallel layers). `expert_ranks` is the number of GPUs that share the experts where it
    is more than TP (data-parallel attention). Encoders are split and keep the plain format; draft layers that a
    checkpoint brings for speculation are not loaded and do not count.
    """
    ranks = tensor_parallel_size
    total = _embedding_elements(geometry, ranks) * numbers.plain
    for group in geometry.groups:
        total += group.count * _layer_bytes(group, geometry.hidden_size, numbers, ranks, expert_ranks or ranks)
    return ceil(total + (geometry.hidden_size + geometry.vision_parameters / ranks) * numbers.plain)


def header_weight_bytes(geometry: Geometry, numbers: WeightFormat, tensor_parallel_size: int, file_bytes: int) -> int:
    """A rank's share of exact bytes (summed over safetensors headers): the share that the shape gives, of that sum."""
    whole = weight_bytes(geometry, numbers, 1)
    return ceil(file_bytes * weight_bytes(geometry, numbers, tensor_parallel_size) / whole)


def _embedding_elements(geometry: Geometry, ranks: int) -> int:
    padded = ceil(geometry.vocab_size / VOCABULARY_PADDING) * VOCABULARY_PADDING
    return ceil(padded / ranks) * geometry.hidden_size * (1 if geometry.tie_word_embeddings else 2)


def _layer_bytes(group: LayerGroup, hidden_size: int, numbers: WeightFormat, ranks: int, expert_ranks: int) -> float:
    total = group.norm_elements * numbers.plain
    mixer = group.mixer
    if isinstance(mixer, Attention):
        total += _attention_elements(mixer, hidden_size, ranks) * numbers.linear
    elif isinstance(mixer, LatentAttention):
        split = latent_split_parameters(mixer, hidden_size) / ranks
        total += (split + latent_shared_parameters(mixer, hidden_size)) * numbers.linear
        if numbers.latent_copy:
            expanded = mixer.kv_lora_rank * mixer.heads * (mixer.qk_nope_head_size + mixer.v_head_size)
            total += expanded / ranks * numbers.plain
    elif isinstance(mixer, Recurrent):
        total += mixer.parameters / ranks * numbers.linear
    return total + _block_bytes(group.feed_forward, hidden_size, numbers, ranks, expert_ranks)


def _attention_elements(mixer: Attention, hidden_size: int, ranks: int) -> float:
    query = mixer.heads * mixer.head_size * (2 if mixer.gated else 1) / ranks
    keys_values = max(1, mixer.kv_heads // ranks) * (mixer.head_size + mixer.head_size_v)
    output = mixer.heads * mixer.head_size_v / ranks
    biases = (query + keys_values if mixer.qkv_bias else 0) + (hidden_size if mixer.output_bias else 0)
    return hidden_size * (query + keys_values + output) + biases + mixer.qk_norm_elements + mixer.sinks


def _block_bytes(
    block: FeedForward | Experts | None, hidden_size: int, numbers: WeightFormat, ranks: int, expert_ranks: int
) -> float:
    if block is None:
        return 0.0
    if isinstance(block, FeedForward):
        return feed_forward_parameters(block, hidden_size) / ranks * numbers.linear
    routed = block.experts * expert_parameters(block, hidden_size) / expert_ranks
    padding = _padding_factor(block, hidden_size, numbers, expert_ranks)
    shared = shared_parameters(block, hidden_size) / ranks * numbers.linear
    return routed * padding * numbers.experts + shared + router_parameters(block, hidden_size) * numbers.plain


def _padding_factor(block: Experts, hidden_size: int, numbers: WeightFormat, ranks: int) -> float:
    hidden_multiple, inner_multiple = numbers.expert_padding
    inner = block.intermediate_size / ranks
    padded = ceil(inner / inner_multiple) * inner_multiple if inner_multiple > 1 else inner
    return ceil(hidden_size / hidden_multiple) * hidden_multiple / hidden_size * padded / inner
