"""Published engine start-ups as cases: reading and checking `benchmarks/cases/` and files like them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from appliance.catalog.architecture import geometry_from_config
from appliance.domain.geometry import Geometry
from appliance.errors import CatalogError, ConfigError

GIB = 2**30
DEFAULT_CASES = Path(__file__).parent / "cases" / "kv-cases.yaml"
DEFAULT_GEOMETRY = Path(__file__).parent / "cases" / "geometry.yaml"


@dataclass(frozen=True, slots=True)
class Case:
    """One start-up: what was asked of vLLM, and what it then measured. None where the log did not say."""

    case_id: str
    cluster: str
    publisher: str
    model: str
    geometry: Geometry | None
    geometry_problem: str
    gpu_name: str
    gpu_bytes: int | None
    tensor_parallel_size: int
    pipeline_parallel_size: int
    data_parallel_size: int
    quantization: str | None
    kv_cache_dtype: str
    block_size: int
    vllm_version: str
    legacy_engine: bool
    max_model_len: int | None
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
    gpu_memory_utilization: float | None
    enforce_eager: bool
    speculative: bool
    weights_bytes: int | None
    kv_bytes: int | None
    kv_tokens: int | None
    refused: bool
    complete: bool
    flags: tuple[str, ...]


def load_cases(path: Path, geometry_path: Path = DEFAULT_GEOMETRY) -> list[Case]:
    """The cases of `path`; raises `ConfigError` naming the file, the case and the key."""
    document = _mapping(path, "cases")
    if not isinstance(document["cases"], list) or not document["cases"]:
        raise ConfigError(f"{path}: `cases` must be a list with at least one case")
    shapes = _mapping(geometry_path, "models")["models"]
    if not isinstance(shapes, Mapping):
        raise ConfigError(f"{geometry_path}: `models` must map a model to its geometry")
    return [_case(path, number, entry, shapes) for number, entry in enumerate(document["cases"], 1)]


def _mapping(path: Path, key: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: can't be read as YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(document, dict) or key not in document:
        raise ConfigError(f"{path}: needs a top-level key `{key}`")
    return document


class _Entry:
    """A case's mapping with typed reading; every complaint names file, case and key."""

    def __init__(self, path: Path, name: str, values: Any) -> None:
        self._path, self._name = path, name
        if not isinstance(values, Mapping):
            raise ConfigError(f"{path}: {name} must be a mapping")
        self._values = values

    def part(self, key: str) -> _Entry:
        return _Entry(self._path, f"{self._name}.{key}", self._values.get(key))

    def text(self, key: str, default: str | None = None) -> str:
        value = self._values.get(key, default)
        if value is None and default is None:
            raise self._error(key, "is missing")
        return str(value) if value is not None else str(default)

    def number(self, key: str) -> float | None:
        value = self._values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise self._error(key, f"must be a number or null, not {value!r}")
        return value

    def whole(self, key: str) -> int | None:
        value = self.number(key)
        if value is not None and (value != int(value) or value < 1):
            raise self._error(key, f"must be a whole number from 1 up or null, not {value!r}")
        return None if value is None else int(value)

    def gib(self, key: str) -> int | None:
        value = self.number(key)
        return None if value is None else round(value * GIB)

    def flag(self, key: str) -> bool:
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise self._error(key, f"must be true or false, not {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._values.get(key) or []
        if not isinstance(value, list):
            raise self._error(key, "must be a list")
        return tuple(str(item) for item in value)

    def _error(self, key: str, problem: str) -> ConfigError:
        return ConfigError(f"{self._path}: {self._name}: `{key}` {problem}")


def _case(path: Path, number: int, raw: Any, shapes: Mapping[str, Any]) -> Case:
    name = raw.get("id") if isinstance(raw, Mapping) else None
    entry = _Entry(path, f"case {number} ({name})" if name else f"case {number}", raw)
    gpu, parallel, measured = entry.part("gpu"), entry.part("parallel"), entry.part("measured")
    utilization = entry.number("gpu_memory_utilization")
    if utilization is not None and not 0 < utilization <= 1:
        raise ConfigError(f"{path}: case {name}: `gpu_memory_utilization` must lie in (0, 1], not {utilization}")
    geometry, problem = _geometry(shapes, entry.text("geometry"))
    flags = entry.texts("flags")
    block = entry.whole("block_size") or 16
    return Case(
        case_id=entry.text("id"),
        cluster=entry.text("cluster", entry.text("id")),
        publisher=entry.text("source", "unknown").split(" ")[0],
        model=entry.text("model"),
        geometry=geometry,
        geometry_problem=problem,
        gpu_name=gpu.text("name", "not named"),
        gpu_bytes=gpu.gib("total_gib"),
        tensor_parallel_size=parallel.whole("tp") or 1,
        pipeline_parallel_size=parallel.whole("pp") or 1,
        data_parallel_size=parallel.whole("dp") or 1,
        quantization=entry.text("quantization", "") or None,
        kv_cache_dtype=entry.text("kv_cache_dtype", "auto"),
        block_size=block,
        vllm_version=entry.text("vllm_version", ""),
        legacy_engine=entry.text("engine", "V1") == "V0",
        max_model_len=entry.whole("max_model_len"),
        max_num_seqs=entry.whole("max_num_seqs"),
        max_num_batched_tokens=entry.whole("max_num_batched_tokens"),
        gpu_memory_utilization=utilization,
        enforce_eager=entry.flag("enforce_eager"),
        speculative=any("spec_decode" in flag for flag in flags),
        weights_bytes=measured.gib("model_load_gib"),
        kv_bytes=measured.gib("available_kv_gib"),
        kv_tokens=_tokens(entry, measured, block),
        refused=any("refused" in flag for flag in flags),
        complete=entry.flag("complete"),
        flags=flags,
    )


def _tokens(entry: _Entry, measured: _Entry, block_size: int) -> int | None:
    """KV tokens as printed, else blocks × block size, else the printed concurrency × the model length."""
    tokens = measured.whole("kv_tokens")
    if tokens is not None:
        return tokens
    blocks = measured.whole("num_gpu_blocks")
    if blocks is not None:
        return blocks * block_size
    concurrency, length = measured.number("max_concurrency"), entry.whole("max_model_len")
    return round(concurrency * length) if concurrency and length else None


def _geometry(shapes: Mapping[str, Any], name: str) -> tuple[Geometry | None, str]:
    """The shape named by a case, or why there is none."""
    shape = shapes.get(name)
    if not isinstance(shape, Mapping):
        return None, f"no geometry for {name}"
    try:
        geometry = geometry_from_config(config_of_shape(name, shape), shape.get("total_params"))
    except CatalogError as error:
        return None, str(error)
    total = shape.get("total_params")
    tower = int(shape.get("tower_params") or max(0, (total or 0) - geometry.shape_parameters))
    geometry = replace(geometry, vision_parameters=tower, published_parameters=None)
    return geometry, ""


def config_of_shape(name: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    """A geometry entry as the `config.json` that it was taken from: the same keys, with the architecture named."""
    config = dict(shape)
    layers = int(shape.get("num_hidden_layers", 0))
    if shape.get("kind") == "mla":
        config["architectures"] = ["DeepseekV3ForCausalLM"]
        config["topk_method"] = "noaux_tc" if shape.get("q_lora_rank") else None
    elif "linear_num_value_heads" in shape:
        config["architectures"] = ["Qwen3NextForCausalLM"]
    elif "mamba_layers" in shape:
        config["architectures"] = ["NemotronHForCausalLM"]
    elif "intermediate_size_mlp" in shape:
        config["architectures"] = ["Llama4ForConditionalGeneration"]
        config["num_local_experts"] = shape.get("num_experts")
    elif "sliding_pattern" in shape and "num_experts" in shape:
        config |= {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss"}
        config |= {"num_local_experts": shape["num_experts"], "layer_types": _alternating(layers)}
    elif "sliding_layers" in shape:
        config["architectures"] = ["Gemma3ForCausalLM"]
        config["layer_types"] = ["sliding_attention"] * shape["sliding_layers"]
        config["layer_types"] += ["full_attention"] * int(shape.get("full_attention_layers", 0))
    elif "num_experts" in shape:
        config["architectures"] = ["Qwen3MoeForCausalLM"]
    else:
        config["architectures"] = ["Qwen2ForCausalLM" if "Qwen2" in name else "LlamaForCausalLM"]
    return config


def _alternating(layers: int) -> list[str]:
    return ["full_attention" if index % 2 else "sliding_attention" for index in range(layers)]
