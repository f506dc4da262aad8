"""All that is known of a model of the catalog, as one document: manifest, shape, and the bytes that follow from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from appliance.catalog.loader import weights_bytes
from appliance.domain.geometry import Geometry
from appliance.domain.model import Model
from appliance.placement.kv_cache import kv_element_bytes, kv_layout, layer_kinds
from appliance.placement.weights import weight_bytes, weight_format

FORMATS = ("bfloat16", "fp8", "int4")
"""Number formats that people choose between; those of vLLM's quantisation methods."""
KV_TYPES = ("auto", "fp8")
BATCHED_TOKENS = 2048
"""vLLM's default step on cards below 70 GiB; it adds to what a sliding window keeps."""


def summary(model: Model, in_pool: bool) -> dict[str, Any]:
    """What the list shows."""
    return {
        "id": model.model_id,
        "in_pool": in_pool,
        "parameters": model.parameters,
        "weights_bytes": weights_bytes(model) if model.files else _stored_bytes(model),
        "listed_files": len(model.files),
        "licence": model.licence,
        "roles": sorted(role.value for role in model.roles),
    }


def facts(model: Model) -> dict[str, Any]:
    """Everything; `memory` is None without a shape."""
    document = asdict(model)
    document["id"] = document.pop("model_id")
    document["roles"] = sorted(role.value for role in model.roles)
    document["memory"] = memory_facts(model, model.geometry) if model.geometry is not None else None
    return document


def memory_facts(model: Model, geometry: Geometry) -> dict[str, Any]:
    """Bytes on one GPU: weights as they are stored and in other formats, and the KV cache."""
    wide = 4 if model.dtype == "float32" else 2
    kv = {}
    for kind in KV_TYPES:
        layout = kv_layout(layer_kinds(geometry, kv_element_bytes(kind, wide), wide, 1, windows=True))
        kv[kind] = {
            "bytes_per_token": layout.bytes_per_token,
            "longest_request_bytes": layout.request_bytes(model.context_tokens, 2 * BATCHED_TOKENS),
        }
    return {
        "weights_bytes": {"as stored": _stored_bytes(model), **{name: _bytes(geometry, name) for name in FORMATS}},
        "exact": any(file.path.endswith(".safetensors") for file in model.files),
        "kv": kv,
    }


def _stored_bytes(model: Model) -> int:
    """The sum over the listed files, else what the shape makes in the model's own format."""
    if model.files or model.geometry is None:
        return weights_bytes(model)
    return _bytes(model.geometry, model.quantization or model.dtype)


def _bytes(geometry: Geometry, name: str) -> int:
    wide = 4 if name == "float32" else 2
    return weight_bytes(geometry, weight_format(None if wide == 4 else name, geometry.architecture, wide), 1)
