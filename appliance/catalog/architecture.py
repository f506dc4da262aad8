"""Geometry from a published `config.json`: a table of the architectures that are understood, and a refusal for others.

Nothing is guessed: an architecture that is not in `FAMILIES` is refused with the list of those that are, a known one
whose configuration lacks keys is refused with their names. Keys are those of Hugging Face `transformers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.catalog.stacks import (
    Config,
    Family,
    delta_stack,
    dense_stack,
    latent_stack,
    llama4_stack,
    nemotron_stack,
    routed_stack,
)
from appliance.domain.geometry import Geometry, LayerGroup
from appliance.errors import CatalogError

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


_DENSE = (*ATTENTION_KEYS, "intermediate_size")
_QWEN3_ROUTED = (*ATTENTION_KEYS, "num_experts", "num_experts_per_tok", "moe_intermediate_size")
_MIXTRAL = (*ATTENTION_KEYS, "intermediate_size", "num_local_experts", "num_experts_per_tok")
_LATENT_ROUTED = (*LATENT_KEYS, *ROUTED_KEYS, "intermediate_size")
_LLAMA4 = (*_MIXTRAL, "intermediate_size_mlp", "interleave_moe_layer_step")
_NEMOTRON = (*ATTENTION_KEYS, *MAMBA_KEYS, "intermediate_size")

LLAMA = Family(dense_stack, _DENSE)
QWEN2 = Family(dense_stack, _DENSE, qkv_bias=True)
QWEN3 = Family(dense_stack, _DENSE, qk_norm=True)
QWEN3_ROUTED = Family(routed_stack, _QWEN3_ROUTED, qk_norm=True)
GEMMA3 = Family(dense_stack, (*_DENSE, "head_dim"), qk_norm=True, norms=4, window_every=6, tied=True)
DEEPSEEK = Family(latent_stack, _LATENT_ROUTED)
QWEN3_NEXT = Family(delta_stack, (*_QWEN3_ROUTED, *DELTA_KEYS))

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
    "MixtralForCausalLM": Family(routed_stack, _MIXTRAL),
    "Glm4MoeForCausalLM": Family(routed_stack, (*ATTENTION_KEYS, *ROUTED_KEYS), qkv_bias=True),
    "GptOssForCausalLM": Family(routed_stack, _MIXTRAL, qkv_bias=True, output_bias=True, sinks=True),
    "Llama4ForConditionalGeneration": Family(llama4_stack, _LLAMA4),
    "Gemma2ForCausalLM": Family(dense_stack, (*_DENSE, "head_dim"), norms=4, window_every=2, tied=True),
    "Gemma3ForCausalLM": GEMMA3,
    "Gemma3ForConditionalGeneration": GEMMA3,
    "DeepseekV2ForCausalLM": DEEPSEEK,
    "DeepseekV3ForCausalLM": DEEPSEEK,
    "DeepseekV32ForCausalLM": DEEPSEEK,
    "Glm4MoeLiteForCausalLM": DEEPSEEK,
    "GlmMoeDsaForCausalLM": DEEPSEEK,
    "Qwen3NextForCausalLM": QWEN3_NEXT,
    "Qwen3_5MoeForConditionalGeneration": QWEN3_NEXT,
    "NemotronHForCausalLM": Family(nemotron_stack, _NEMOTRON, norms=1),
}
