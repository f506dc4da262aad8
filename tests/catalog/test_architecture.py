"""Geometry from published configurations: counts that agree to the last parameter, and clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.catalog.architecture import FAMILIES, geometry_from_config
from appliance.catalog.loader import load_catalog
from appliance.catalog.manifest import refresh
from appliance.domain.geometry import Attention, Experts, FeedForward, LatentAttention, Recurrent
from appliance.domain.model import Model
from appliance.errors import CatalogError
from tests.catalog.tiny_model import write_tiny

CATALOG = Path(__file__).resolve().parents[2] / "models" / "catalog"
REAL = {name: model for name, model in load_catalog(CATALOG).items() if model.geometry is not None}
DRAFT_LAYERS = {"qwen3-next-80b-a3b-instruct", "glm-4.5-air"}
"""Their published count includes layers for speculation."""

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}


def test_the_catalog_has_at_least_20_real_models_of_every_kind() -> None:
    assert len(REAL) >= 20
    mixers = {type(group.mixer) for model in REAL.values() for group in _groups(model)}
    blocks = {type(group.feed_forward) for model in REAL.values() for group in _groups(model)}
    assert {Attention, LatentAttention, Recurrent} <= mixers
    assert {Experts, FeedForward} <= blocks
    windows = [g.mixer.window_tokens for m in REAL.values() for g in _groups(m) if isinstance(g.mixer, Attention)]
    assert any(windows)
    assert {"fp8", "awq", "mxfp4"} <= {model.quantization for model in REAL.values()}
    sizes = [model.parameters for model in REAL.values()]
    assert min(sizes) < 600_000_000
    assert max(sizes) > 600_000_000_000


@pytest.mark.parametrize("name", sorted(REAL))
def test_the_shape_gives_the_published_number_of_parameters(name: str) -> None:
    model = REAL[name]
    assert model.geometry is not None
    exact = model.geometry.shape_parameters / model.parameters
    assert exact == pytest.approx(1, abs=0.04 if name in DRAFT_LAYERS else 1e-6)


@pytest.mark.parametrize("name", sorted(REAL))
def test_each_manifest_says_where_its_facts_come_from(name: str) -> None:
    model = REAL[name]
    assert "2026" in model.source
    assert {"skills", "roles"} <= set(model.derived)
    pinned = len(model.revision) == 40
    assert pinned != ("revision" in model.derived)
    assert pinned or model.revision == "unpinned"
    assert model.geometry is not None
    assert model.geometry.context_tokens == model.context_tokens


def test_approving_the_files_of_a_hub_model_keeps_its_pinned_revision(tmp_path: Path) -> None:
    manifest = tmp_path / "qwen3-8b.yaml"
    manifest.write_text((CATALOG / manifest.name).read_text(encoding="utf-8"), encoding="utf-8")
    write_tiny(tmp_path / "store" / "qwen3-8b")
    for _ in range(2):
        model = refresh(manifest, tmp_path / "store" / "qwen3-8b")
        assert model.revision == REAL["qwen3-8b"].revision
        assert model.parameters == REAL["qwen3-8b"].parameters
        assert [file.path for file in model.files] == ["config.json", "model.safetensors", "tokenizer.json"]


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CatalogError, match=r"FancyForCausalLM.*num_key_value_heads.*LlamaForCausalLM"):
        geometry_from_config({"architectures": ["FancyForCausalLM"], "hidden_size": 1})


def test_a_known_architecture_names_each_missing_key() -> None:
    broken = {key: value for key, value in LLAMA.items() if key not in {"vocab_size", "num_key_value_heads"}}
    with pytest.raises(CatalogError, match=r"lacks vocab_size, num_key_value_heads"):
        geometry_from_config(broken)


@pytest.mark.parametrize("value", ["32", -1, 1.5, True])
def test_a_count_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(CatalogError, match="num_hidden_layers"):
        geometry_from_config({**LLAMA, "num_hidden_layers": value})


@pytest.mark.parametrize("names", [None, [], ["A", "B"], "LlamaForCausalLM"])
def test_exactly_one_architecture_is_needed(names: object) -> None:
    with pytest.raises(CatalogError, match="exactly one"):
        geometry_from_config({**LLAMA, "architectures": names})


def test_the_language_model_of_a_multimodal_configuration_is_nested() -> None:
    outer = {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "text_config": {key: value for key, value in LLAMA.items() if key != "architectures"},
        "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096},
    }
    reckoned = geometry_from_config(outer)
    assert reckoned.layers == 32
    assert 250_000_000 < reckoned.vision_parameters < 450_000_000
    published = geometry_from_config(outer, 9_000_000_000)
    assert published.shape_parameters == 9_000_000_000


def test_windows_by_list_by_pattern_and_switched_off() -> None:
    def windows(**keys: object) -> list[int | None]:
        geometry = geometry_from_config({**LLAMA, "sliding_window": 512, **keys})
        mixers = [group.mixer for group in geometry.groups for _ in range(group.count)]
        return [mixer.window_tokens for mixer in mixers if isinstance(mixer, Attention)]

    assert windows().count(512) == 32
    assert windows(use_sliding_window=False).count(None) == 32
    assert windows(sliding_window_pattern=4).count(None) == 8
    assert windows(layer_types=["sliding_attention"] * 20 + ["full_attention"] * 12).count(512) == 20


def test_a_hybrid_pattern_with_unknown_letters_is_refused() -> None:
    nemotron = REAL["nemotron-nano-9b-v2"]
    assert nemotron.geometry is not None
    assert [g.count for g in nemotron.geometry.groups if isinstance(g.mixer, Recurrent)] == [27]
    with pytest.raises(CatalogError, match="unknown letters"):
        geometry_from_config(
            {
                **LLAMA,
                "architectures": ["NemotronHForCausalLM"],
                "hybrid_override_pattern": "M?",
                "mamba_num_heads": 8,
                "mamba_head_dim": 8,
                "n_groups": 1,
                "ssm_state_size": 8,
                "conv_kernel": 4,
            }
        )


def test_every_family_demands_keys_and_names_them() -> None:
    for name, family in FAMILIES.items():
        with pytest.raises(CatalogError, match=family.required[0]):
            geometry_from_config({"architectures": [name]})


def _groups(model: Model) -> tuple[Any, ...]:
    assert model.geometry is not None
    return model.geometry.groups
