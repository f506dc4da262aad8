"""The part of a config.json that goes into a manifest."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from appliance.catalog.architecture import geometry_from_config
from appliance.catalog.config_keys import needed_keys, quantization_of
from appliance.errors import CatalogError
from tests.fakes.engine_commands import ROOT

CATALOG = sorted((ROOT / "models" / "catalog").glob("*.yaml"))
NOISE = {"torch_dtype": "bfloat16", "rope_theta": 1e6, "bos_token_id": 1, "transformers_version": "4.51.0"}


@pytest.mark.parametrize("path", [path for path in CATALOG if "starter" not in path.name], ids=lambda path: path.stem)
def test_keys_of_every_model_of_the_catalog_make_its_shape(path: Any) -> None:
    manifest = yaml.safe_load(path.read_text())
    config = {**manifest["config"], **NOISE, "architectures": [manifest["architecture"]]}
    keys = needed_keys(config, manifest["parameters"])
    assert not keys.keys() & {*NOISE, "architectures"}
    again = geometry_from_config({**keys, "architectures": config["architectures"]}, manifest["parameters"])
    assert again == geometry_from_config(config, manifest["parameters"])


def test_keys_of_a_nested_language_model_come_on_top() -> None:
    text = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 256,
        "max_position_embeddings": 512,
    }
    config = {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "text_config": text,
        "vision_config": {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64},
    }
    keys = needed_keys(config, None)
    assert keys.keys() == {*text, "vision_config"}
    assert geometry_from_config({**keys, "architectures": config["architectures"]}) == geometry_from_config(config)


def group(bits: int, kind: str) -> dict[str, Any]:
    return {"weights": {"num_bits": bits, "type": kind}}


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        (None, None),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": group(8, "float")}}, "fp8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": group(4, "int")}}, "int4"),
    ],
)
def test_number_formats(stated: dict[str, Any] | None, name: str | None) -> None:
    assert quantization_of({"quantization_config": stated}) == name


@pytest.mark.parametrize(
    "stated",
    [
        {"quant_method": "aqlm"},
        {"quant_method": "modelopt", "quant_algo": "W4A8"},
        {"quant_method": "compressed-tensors", "config_groups": {"a": group(8, "float"), "b": group(4, "int")}},
        {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": None}}},
    ],
)
def test_a_form_that_is_not_known_is_refused(stated: dict[str, Any]) -> None:
    with pytest.raises(CatalogError, match=r"config\.json: quantization_config: .* does not know"):
        quantization_of({"quantization_config": stated})
