"""The parts of a layer from the keys of a `config.json`: attention, recurrence, perceptron, experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.domain.geometry import Attention, Experts, FeedForward, LatentAttention, Recurrent

Config = Mapping[str, Any]


def grouped_query(
    config: Config,
    *,
    window_tokens: int | None,
    qkv_bias: bool = False,
    output_bias: bool = False,
    gated: bool = False,
    qk_norm: bool = False,
    sinks: bool = False,
) -> Attention:
    """Attention with `num_key_value_heads`; `head_dim` falls back to hidden_size / heads as in transformers."""
    heads = int(config["num_attention_heads"])
    size = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    return Attention(
        heads=heads,
        kv_heads=int(config["num_key_value_heads"]),
        head_size=size,
        head_size_v=size,
        window_tokens=window_tokens,
        qkv_bias=qkv_bias,
        output_bias=output_bias,
        gated=gated,
        qk_norm_elements=2 * size if qk_norm else 0,
        sinks=heads if sinks else 0,
    )


def latent(config: Config) -> LatentAttention:
    """Multi-head latent attention; the sparse indexer where `index_n_heads` names one."""
    return LatentAttention(
        heads=int(config["num_attention_heads"]),
        q_lora_rank=int(config["q_lora_rank"]) if config.get("q_lora_rank") else None,
        kv_lora_rank=int(config["kv_lora_rank"]),
        qk_nope_head_size=int(config["qk_nope_head_dim"]),
        qk_rope_head_size=int(config["qk_rope_head_dim"]),
        v_head_size=int(config["v_head_dim"]),
        indexer_heads=int(config.get("index_n_heads") or 0),
        indexer_head_size=int(config.get("index_head_dim") or 0),
    )


def gated_delta_net(config: Config) -> Recurrent:
    """Linear attention of Qwen3-Next: shapes as in transformers' Qwen3NextGatedDeltaNet.

    Projections q, k, v, z (two keys, two values wide), b and a (two per value head), a short convolution over q, k and
    v, one decay and one time-step per value head, a norm per value channel, and the output. The state is one
    key × value matrix per value head and the convolution's last inputs (vllm/model_executor/layers/mamba/
    mamba_utils.py, gated_delta_net_state_shape).
    """
    hidden = int(config["hidden_size"])
    value_heads, key_heads = int(config["linear_num_value_heads"]), int(config["linear_num_key_heads"])
    key_size, value_size = int(config["linear_key_head_dim"]), int(config["linear_value_head_dim"])
    kernel = int(config["linear_conv_kernel_dim"])
    keys, values = key_heads * key_size, value_heads * value_size
    channels = 2 * keys + values
    parameters = hidden * (channels + values) + hidden * 2 * value_heads + channels * kernel
    parameters += 2 * value_heads + value_size + values * hidden
    return Recurrent("gated_delta_net", parameters, (kernel - 1) * channels, value_heads * key_size * value_size)


def mamba2(config: Config) -> Recurrent:
    """Mamba-2 mixer of Nemotron-H: shapes as in transformers' NemotronHMamba2Mixer.

    The state is heads × head size × state size, and the convolution's last inputs (vllm mamba_utils.py,
    mamba2_state_shape). Nemotron-H keeps the state in 32-bit floats where `mamba_ssm_cache_dtype` says so.
    """
    hidden, heads = int(config["hidden_size"]), int(config["mamba_num_heads"])
    inner = heads * int(config["mamba_head_dim"])
    state, kernel = int(config["ssm_state_size"]), int(config["conv_kernel"])
    channels = inner + 2 * int(config["n_groups"]) * state
    parameters = hidden * (inner + channels + heads) + channels * (kernel + 1) + 3 * heads + inner + inner * hidden
    wide = 4 if config.get("mamba_ssm_cache_dtype") == "float32" else None
    return Recurrent("mamba2", parameters, (kernel - 1) * channels, inner * state, wide)


def feed_forward(config: Config, *, gated: bool = True, bias: bool = False) -> FeedForward:
    """A perceptron of `intermediate_size`."""
    return FeedForward(int(config["intermediate_size"]), gated, bias)


def experts(config: Config, *, gated: bool = True) -> Experts:
    """Routed experts by any of the key names in use, with shared experts by count or by width."""
    count = int(config.get("num_experts") or config.get("n_routed_experts") or config["num_local_experts"])
    width = int(config.get("moe_intermediate_size") or config["intermediate_size"])
    shared = config.get("shared_expert_intermediate_size") or config.get("moe_shared_expert_intermediate_size")
    if not shared:
        shared = int(config.get("n_shared_experts") or 0) * width
    has_bias = config.get("model_type") == "gpt_oss"
    scored = config.get("topk_method") == "noaux_tc" or config.get("scoring_func") == "sigmoid"
    return Experts(
        experts=count,
        experts_per_token=int(config.get("num_experts_per_tok") or 1),
        intermediate_size=width,
        shared_intermediate_size=int(shared),
        gated=gated,
        bias=has_bias,
        router_bias=count if has_bias or scored else 0,
        shared_gate=bool(config.get("shared_expert_intermediate_size")) and "linear_num_value_heads" in config,
    )
