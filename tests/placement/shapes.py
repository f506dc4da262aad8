"""Published shapes for the tests of placement: real models, small enough to read."""

from __future__ import annotations

from dataclasses import replace

from appliance.domain.geometry import Attention, Experts, FeedForward, Geometry, LatentAttention, LayerGroup, Recurrent
from appliance.domain.gpu import Card
from appliance.placement.engine_shape import GIB, EngineShape

H200 = Card("NVIDIA H200", round(139.81 * GIB))
H100 = Card("NVIDIA H100 80GB HBM3", round(79.19 * GIB))
L4 = Card("NVIDIA L4", round(22.03 * GIB))
A100_80 = Card("NVIDIA A100-SXM4-80GB", round(79.25 * GIB))


def dense(
    layers: int = 32,
    hidden: int = 4096,
    heads: int = 32,
    kv_heads: int = 8,
    head_size: int = 128,
    inner: int = 14336,
    vocabulary: int = 128256,
    window: int | None = None,
) -> Geometry:
    """Llama-3.1-8B by default."""
    attention = Attention(heads, kv_heads, head_size, head_size, window)
    group = LayerGroup(layers, attention, FeedForward(inner), 2 * hidden)
    return Geometry("LlamaForCausalLM", hidden, vocabulary, False, 131072, (group,))


def qwen3_next() -> Geometry:
    """Qwen3-Next-80B-A3B: 12 gated attention layers, 36 gated delta nets, 512 experts."""
    experts = Experts(512, 10, 512, 512, shared_gate=True)
    whole = Attention(16, 2, 256, 256, gated=True)
    linear = Recurrent("gated_delta_net", 33718464, 24576, 524288)
    groups = (LayerGroup(36, linear, experts, 4096), LayerGroup(12, whole, experts, 4096))
    return Geometry("Qwen3NextForCausalLM", 2048, 151936, False, 262144, groups)


def deepseek_v3() -> Geometry:
    """DeepSeek-V3: latent attention, three dense layers, 256 experts."""
    latent = LatentAttention(128, 1536, 512, 128, 64, 128)
    groups = (
        LayerGroup(3, latent, FeedForward(18432), 14336),
        LayerGroup(58, latent, Experts(256, 8, 2048, 2048, router_bias=256), 14336),
    )
    return Geometry("DeepseekV3ForCausalLM", 7168, 129280, False, 163840, groups)


def gpt_oss() -> Geometry:
    """gpt-oss-120b: half of the layers see 128 tokens only."""
    experts = Experts(128, 4, 2880, bias=True, router_bias=128)
    sliding = Attention(64, 8, 64, 64, 128, qkv_bias=True, output_bias=True, sinks=64)
    whole = replace(sliding, window_tokens=None)
    groups = (LayerGroup(18, sliding, experts, 5760), LayerGroup(18, whole, experts, 5760))
    return Geometry("GptOssForCausalLM", 2880, 201088, False, 131072, groups)


def shape(**changes: object) -> EngineShape:
    """8192 tokens on one GPU with today's vLLM."""
    return replace(EngineShape(max_model_len=8192), **changes)  # type: ignore[arg-type]  # the fields are named by each test
