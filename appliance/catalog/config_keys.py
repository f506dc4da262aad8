"""What of a published `config.json` belongs into a manifest: the keys that the shape follows from, and the format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.catalog.architecture import geometry_from_config
from appliance.errors import CatalogError

PLAIN_METHODS = {"fp8": "fp8", "mxfp4": "mxfp4", "awq": "awq", "gptq": "gptq"}
COMPRESSED = {(8, "float"): "fp8", (8, "int"): "int8", (4, "int"): "int4", (4, "float"): "nvfp4"}
MODELOPT = {"FP8": "fp8", "NVFP4": "nvfp4"}


def needed_keys(config: Mapping[str, Any], parameters: int | None) -> dict[str, Any]:
    """The smallest part of `config` that makes the same geometry, a nested language model's keys on top.

    Keys are left out one after the other as long as the geometry stays. Raises CatalogError where there is none.
    """
    text: Mapping[str, Any]
    text = next((config[key] for key in ("text_config", "llm_config") if isinstance(config.get(key), Mapping)), {})
    thinker = config.get("thinker_config")
    if isinstance(thinker, Mapping) and isinstance(thinker.get("text_config"), Mapping):
        text = thinker["text_config"]
    whole = geometry_from_config(config, parameters)
    kept = {key: value for key, value in {**config, **text}.items() if value is not None}
    if geometry_from_config(kept, parameters) != whole:
        return dict(config)
    for key in list(kept):
        fewer = {other: value for other, value in kept.items() if other != key}
        try:
            if geometry_from_config(fewer, parameters) == whole:
                kept = fewer
        except (CatalogError, KeyError, TypeError, ValueError):
            continue
    return {key: value for key, value in kept.items() if key != "architectures"}


def quantization_of(config: Mapping[str, Any]) -> str | None:
    """The number format of quantised weights under the catalog's name; None for plain ones. Raises CatalogError."""
    stated = config.get("quantization_config") or config.get("compression_config")
    if not isinstance(stated, Mapping):
        return None
    method = str(stated.get("quant_method", "")).lower()
    found = PLAIN_METHODS.get(method)
    if method in {"awq", "gptq"} and stated.get("bits", stated.get("w_bit", 4)) == 8:
        found = "int8"
    elif method == "bitsandbytes":
        found = "int8" if stated.get("load_in_8bit") else "bitsandbytes"
    elif method == "modelopt":
        found = MODELOPT.get(str(stated.get("quant_algo", "")).upper())
    elif method == "compressed-tensors":
        formats = {_compressed(group) for group in dict(stated.get("config_groups") or {}).values()}
        found = formats.pop() if len(formats) == 1 else None
    if found is None:
        raise CatalogError(
            f"config.json: quantization_config: the memory model does not know this form of "
            f"{method or 'quantisation'}; it knows fp8, int8, 4-bit awq and gptq, bitsandbytes, mxfp4 and nvfp4"
        )
    return found


def _compressed(group: Any) -> str | None:
    weights = group.get("weights") if isinstance(group, Mapping) else None
    if not isinstance(weights, Mapping):
        return None
    return COMPRESSED.get((weights.get("num_bits", 0), str(weights.get("type", "int"))))
