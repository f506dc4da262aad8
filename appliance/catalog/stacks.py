"""Whole stacks of layers from a `config.json`: which layer is of which kind, by family of architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from appliance.catalog.layers import experts, feed_forward, gated_delta_net, grouped_query, latent, mamba2
from appliance.domain.geometry import FeedForward, LayerGroup
from appliance.errors import CatalogError

Config = Mapping[str, Any]
Layers = Callable[[Config, "Family"], list[LayerGroup]]


@dataclass(frozen=True, slots=True)
class Family:
    """How an architecture's layers are built: `layers` reads the configuration, the rest are its constants.

    `norms` counts the norms of `hidden_size` in one layer. `window_every` tells which layers see the whole text where
    `layer_types` is absent: each n-th one (0: `sliding_window` holds for all layers or none).
    """

    layers: Layers
    required: tuple[str, ...]
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    sinks: bool = False
    norms: int = 2
    window_every: int = 0
    whole_windows: bool = False
    tied: bool = False


def dense_stack(config: Config, family: Family) -> list[LayerGroup]:
    """One kind of block in every layer (Llama, Qwen, Gemma, Phi)."""
    block = feed_forward(config, bias=bool(config.get("mlp_bias", False)))
    return _attention_layers(config, family, lambda _: block)


def routed_stack(config: Config, family: Family) -> list[LayerGroup]:
    """Experts in every `decoder_sparse_step`-th layer, save `mlp_only_layers` and the first `first_k_dense_replace`."""
    step = int(config.get("decoder_sparse_step", 1))
    dense = set(config.get("mlp_only_layers") or [])
    first = int(config.get("first_k_dense_replace", 0))
    routed = experts(config)

    def block(index: int) -> Any:
        is_dense = index < first or index in dense or (index + 1) % step
        return feed_forward(config) if is_dense else routed

    return _attention_layers(config, family, block)


def llama4_stack(config: Config, family: Family) -> list[LayerGroup]:
    """Each `interleave_moe_layer_step`-th layer is routed with one shared expert; chunked attention counts as whole.

    vLLM keeps whole-length KV for Llama 4's chunked layers: it switches its hybrid cache manager off for them unless
    VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE is set (vllm/config).
    """
    step = int(config["interleave_moe_layer_step"])
    routed = experts({**config, "shared_expert_intermediate_size": config["intermediate_size"]})
    dense = FeedForward(int(config["intermediate_size_mlp"]))
    mixer = grouped_query(config, window_tokens=None)
    norms = 2 * int(config["hidden_size"])
    blocks = [routed if (index + 1) % step == 0 else dense for index in range(int(config["num_hidden_layers"]))]
    return [LayerGroup(1, mixer, block, norms) for block in blocks]


def latent_stack(config: Config, family: Family) -> list[LayerGroup]:
    """`first_k_dense_replace` dense layers, then experts; all with latent attention."""
    count = int(config["num_hidden_layers"])
    first = min(count, int(config.get("first_k_dense_replace", 0)))
    norms = 2 * int(config["hidden_size"])
    mixer = latent(config)
    groups = [LayerGroup(first, mixer, feed_forward(config), norms)] if first else []
    return [*groups, LayerGroup(count - first, mixer, experts(config), norms)]


def delta_stack(config: Config, family: Family) -> list[LayerGroup]:
    """Gated delta nets with whole attention in each `full_attention_interval`-th layer (Qwen3-Next, Qwen3.5)."""
    block = experts(config) if config.get("num_experts") else feed_forward(config)
    norms = 2 * int(config["hidden_size"])
    whole = grouped_query(config, window_tokens=None, gated=True, qk_norm=True)
    linear = gated_delta_net(config)
    interval = int(config.get("full_attention_interval", 4))
    kinds = config.get("layer_types") or [
        "linear_attention" if (index + 1) % interval else "full_attention"
        for index in range(int(config["num_hidden_layers"]))
    ]
    return [LayerGroup(1, whole if kind == "full_attention" else linear, block, norms) for kind in kinds]


def nemotron_stack(config: Config, family: Family) -> list[LayerGroup]:
    """One mixer or one block per layer, by the letters of `hybrid_override_pattern`: M, *, E and -."""
    pattern = str(config["hybrid_override_pattern"])
    norms = int(config["hidden_size"])
    dense = feed_forward(config, gated=False)
    parts: dict[str, LayerGroup] = {
        "M": LayerGroup(1, mamba2(config), None, norms),
        "*": LayerGroup(1, grouped_query(config, window_tokens=None), None, norms),
        "-": LayerGroup(1, None, dense, norms),
    }
    if "E" in pattern:
        parts["E"] = LayerGroup(1, None, experts(config, gated=False), norms)
    if set(pattern) - set(parts):
        raise CatalogError(f"config.json: hybrid_override_pattern has unknown letters in {pattern!r}")
    return [
        LayerGroup(len(list(run)), parts[letter].mixer, parts[letter].feed_forward, norms)
        for letter, run in groupby(pattern)
    ]


def _attention_layers(config: Config, family: Family, block: Callable[[int], Any]) -> list[LayerGroup]:
    """Layers of grouped-query attention, each with its window."""
    norms = family.norms * int(config["hidden_size"])
    return [
        LayerGroup(
            1,
            grouped_query(
                config,
                window_tokens=window,
                qkv_bias=bool(config.get("attention_bias", family.qkv_bias)),
                output_bias=family.output_bias,
                qk_norm=family.qk_norm,
                sinks=family.sinks,
            ),
            block(index),
            norms,
        )
        for index, window in enumerate(_windows(config, family))
    ]


def _windows(config: Config, family: Family) -> list[int | None]:
    """The window of each layer: by `layer_types`, else each n-th layer whole, else one window for all or none."""
    count = int(config["num_hidden_layers"])
    window = config.get("sliding_window")
    if family.whole_windows or not window or config.get("use_sliding_window") is False:
        return [None] * count
    kinds = config.get("layer_types")
    if kinds:
        return [int(window) if kind == "sliding_attention" else None for kind in kinds]
    every = int(config.get("sliding_window_pattern") or family.window_every)
    if every:
        return [None if (index + 1) % every == 0 else int(window) for index in range(count)]
    return [int(window)] * count
