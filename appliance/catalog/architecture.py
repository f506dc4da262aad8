"""Geometry from a published `config.json`: a table of the architectures that are understood, and a refusal for others.

Nothing is guessed: an architecture that is not in `FAMILIES` is refused with the list of those that are, a known one
whose configuration lacks keys is refused with their names. Keys are those of Hugging Face `transformers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from appliance.catalog.layers import experts, feed_forward, gated_delta_net, grouped_query, latent, mamba2
from appliance.domain.geometry import FeedForward, Geometry, LayerGroup
from appliance.errors import CatalogError

Config = Mapping[str, Any]
Layers = Callable[[Config, "Family"], list[LayerGroup]]

BASE_KEYS = ("hidden_size", "num_hidden_layers", "vocab_size")
ATTENTION_KEYS = ("num_attention_heads", "num_key_value_heads")
LATENT_KEYS = ("num_attention_heads", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
DELTA_KEYS = (
    "linear_num_value_heads",
    "linear_num_key_heads",
    "linear_key_head_dim",
    "linear_value_head_dim",
    "linear_conv_kernel_dim",
)
MAMBA_KEYS = ("mamba_num_heads", "mamba_head_dim", "n_groups", "ssm_state_size", "conv_kernel")
ROUTED_KEYS = ("n_routed_experts", "num_experts_per_tok", "moe_intermediate_size")


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


def geometry_from_config(config: Config, published_parameters: int | None = None) -> Geometry:
    """Shape of the model that `config` (a parsed `config.json`) describes.

    `published_parameters` is the publisher's count; what exceeds the language model's shape in a model that sees or
    hears belongs to its encoders. Raises `CatalogError` for an unknown architecture or missing keys.
    """
    name = architecture_of(config)
    family = FAMILIES[name]
    text = {**config, **_text(config)}
    _require(text, (*BASE_KEYS, *family.required), name)
    groups = _merged(family.layers(text, family))
    geometry = Geometry(
        architecture=name,
        hidden_size=text["hidden_size"],
        vocab_size=text["vocab_size"],
        tie_word_embeddings=bool(text.get("tie_word_embeddings", family.tied)),
        context_tokens=int(text.get("max_position_embeddings", 0)),
        groups=tuple(groups),
        published_parameters=published_parameters,
    )
    return _with_encoders(geometry, config, published_parameters)


def architecture_of(config: Config) -> str:
    """The one architecture that `config` names; refuses none, several or an unknown one."""
    names = config.get("architectures")
    if not isinstance(names, list) or len(names) != 1:
        raise CatalogError("config.json: `architectures` must name exactly one architecture")
    name = str(names[0])
    if name not in FAMILIES:
        missing = sorted({key for key in (*BASE_KEYS, *ATTENTION_KEYS) if key not in {**config, **_text(config)}})
        lacking = f"; of the common keys it also lacks {', '.join(missing)}" if missing else ""
        raise CatalogError(
            f"config.json: the memory model does not know the architecture {name}{lacking}. "
            f"Known: {', '.join(sorted(FAMILIES))}. Give a `geometry` of your own or measure a start (calibration)"
        )
    return name


def _text(config: Config) -> Config:
    """The language model's part of a multimodal configuration; empty for a plain one."""
    inner = config.get("text_config") or config.get("llm_config") or {}
    thinker = config.get("thinker_config")
    if isinstance(thinker, Mapping):
        inner = thinker.get("text_config", {})
    return inner if isinstance(inner, Mapping) else {}


def _require(config: Config, keys: tuple[str, ...], name: str) -> None:
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise CatalogError(f"config.json of {name} lacks {', '.join(missing)}: no geometry without them")
    wrong = [key for key in keys if not _is_count(config[key])]
    if wrong:
        raise CatalogError(f"config.json of {name}: {', '.join(wrong)} must be whole numbers from 0 up")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _merged(groups: list[LayerGroup]) -> list[LayerGroup]:
    """Equal layers counted together, wherever in the stack they stand."""
    counts: dict[LayerGroup, int] = {}
    for group in groups:
        one = LayerGroup(1, group.mixer, group.feed_forward, group.norm_elements)
        counts[one] = counts.get(one, 0) + group.count
    return [LayerGroup(count, one.mixer, one.feed_forward, one.norm_elements) for one, count in counts.items()]


def _with_encoders(geometry: Geometry, config: Config, published: int | None) -> Geometry:
    encoders = [key for key in ("vision_config", "audio_config", "thinker_config") if config.get(key)]
    if not encoders:
        return geometry
    if published is not None:
        extra = max(0, published - geometry.shape_parameters)
    else:
        extra = _transformer_encoder(config.get("vision_config") or {}, geometry.hidden_size)
    return Geometry(
        architecture=geometry.architecture,
        hidden_size=geometry.hidden_size,
        vocab_size=geometry.vocab_size,
        tie_word_embeddings=geometry.tie_word_embeddings,
        context_tokens=geometry.context_tokens,
        groups=geometry.groups,
        vision_parameters=extra,
        published_parameters=published,
    )


def _transformer_encoder(vision: Config, hidden_size: int) -> int:
    """A vision transformer's layers and a two-matrix projector; exact counts need the published total."""
    width = int(vision.get("hidden_size", 0))
    depth = int(vision.get("depth", vision.get("num_hidden_layers", 0)))
    inner = int(vision.get("intermediate_size", 4 * width))
    merged = width * int(vision.get("spatial_merge_size", 1)) ** 2
    return depth * (4 * width * width + 2 * width * inner) + merged * merged + merged * hidden_size


# --- one function per kind of stack ---------------------------------------------------------------------------------


def _dense_stack(config: Config, family: Family) -> list[LayerGroup]:
    block = feed_forward(config, bias=bool(config.get("mlp_bias", False)))
    return _attention_layers(config, family, lambda _: block)


def _routed_stack(config: Config, family: Family) -> list[LayerGroup]:
    """Experts in every `decoder_sparse_step`-th layer, save `mlp_only_layers` and the first `first_k_dense_replace`."""
    step = int(config.get("decoder_sparse_step", 1))
    dense = set(config.get("mlp_only_layers") or [])
    first = int(config.get("first_k_dense_replace", 0))
    routed = experts(config)

    def block(index: int) -> Any:
        is_dense = index < first or index in dense or (index + 1) % step
        return feed_forward(config) if is_dense else routed

    return _attention_layers(config, family, block)


def _llama4_stack(config: Config, family: Family) -> list[LayerGroup]:
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


def _latent_stack(config: Config, family: Family) -> list[LayerGroup]:
    """`first_k_dense_replace` dense layers, then experts; all with latent attention."""
    count = int(config["num_hidden_layers"])
    first = min(count, int(config.get("first_k_dense_replace", 0)))
    norms = 2 * int(config["hidden_size"])
    mixer = latent(config)
    groups = [LayerGroup(first, mixer, feed_forward(config), norms)] if first else []
    return [*groups, LayerGroup(count - first, mixer, experts(config), norms)]


def _delta_stack(config: Config, family: Family) -> list[LayerGroup]:
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


def _nemotron_stack(config: Config, family: Family) -> list[LayerGroup]:
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


_DENSE = (*ATTENTION_KEYS, "intermediate_size")
_QWEN3_ROUTED = (*ATTENTION_KEYS, "num_experts", "num_experts_per_tok", "moe_intermediate_size")
_MIXTRAL = (*ATTENTION_KEYS, "intermediate_size", "num_local_experts", "num_experts_per_tok")
_LATENT_ROUTED = (*LATENT_KEYS, *ROUTED_KEYS, "intermediate_size")
_LLAMA4 = (*_MIXTRAL, "intermediate_size_mlp", "interleave_moe_layer_step")
_NEMOTRON = (*ATTENTION_KEYS, *MAMBA_KEYS, "intermediate_size")

LLAMA = Family(_dense_stack, _DENSE)
QWEN2 = Family(_dense_stack, _DENSE, qkv_bias=True)
QWEN3 = Family(_dense_stack, _DENSE, qk_norm=True)
QWEN3_ROUTED = Family(_routed_stack, _QWEN3_ROUTED, qk_norm=True)
GEMMA3 = Family(_dense_stack, (*_DENSE, "head_dim"), qk_norm=True, norms=4, window_every=6, tied=True)
DEEPSEEK = Family(_latent_stack, _LATENT_ROUTED)
QWEN3_NEXT = Family(_delta_stack, (*_QWEN3_ROUTED, *DELTA_KEYS))

FAMILIES: dict[str, Family] = {
    "LlamaForCausalLM": LLAMA,
    "MistralForCausalLM": LLAMA,
    "Mistral3ForConditionalGeneration": LLAMA,
    "LlavaNextForConditionalGeneration": LLAMA,
    "GraniteForCausalLM": LLAMA,
    "Phi3ForCausalLM": LLAMA,
    "Qwen2ForCausalLM": QWEN2,
    "Qwen2VLForConditionalGeneration": QWEN2,
    "Qwen2_5_VLForConditionalGeneration": QWEN2,
    "Qwen3ForCausalLM": QWEN3,
    "Qwen3VLForConditionalGeneration": QWEN3,
    "Qwen3MoeForCausalLM": QWEN3_ROUTED,
    "Qwen3VLMoeForConditionalGeneration": QWEN3_ROUTED,
    "MixtralForCausalLM": Family(_routed_stack, _MIXTRAL),
    "Glm4MoeForCausalLM": Family(_routed_stack, (*ATTENTION_KEYS, *ROUTED_KEYS), qkv_bias=True),
    "GptOssForCausalLM": Family(_routed_stack, _MIXTRAL, qkv_bias=True, output_bias=True, sinks=True),
    "Llama4ForConditionalGeneration": Family(_llama4_stack, _LLAMA4),
    "Gemma2ForCausalLM": Family(_dense_stack, (*_DENSE, "head_dim"), norms=4, window_every=2, tied=True),
    "Gemma3ForCausalLM": GEMMA3,
    "Gemma3ForConditionalGeneration": GEMMA3,
    "DeepseekV2ForCausalLM": DEEPSEEK,
    "DeepseekV3ForCausalLM": DEEPSEEK,
    "DeepseekV32ForCausalLM": DEEPSEEK,
    "Glm4MoeLiteForCausalLM": DEEPSEEK,
    "GlmMoeDsaForCausalLM": DEEPSEEK,
    "Qwen3NextForCausalLM": QWEN3_NEXT,
    "Qwen3_5MoeForConditionalGeneration": QWEN3_NEXT,
    "NemotronHForCausalLM": Family(_nemotron_stack, _NEMOTRON, norms=1),
}
