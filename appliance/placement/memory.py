"""Bytes that an engine takes on a GPU, by part; and the other way round, what a budget leaves for the KV cache.

Per rank: total = baseline + weights + activation + graphs + non-torch + KV cache. vLLM's budget is
⌈gpu_memory_utilization × total⌉ and leaves out the baseline (vllm/v1/worker/utils.py request_memory); the KV cache gets
what is left of it, or exactly `kv_cache_memory_bytes` (vllm/v1/worker/gpu_worker.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from appliance.domain.geometry import Geometry, LayerGroup
from appliance.domain.gpu import Card
from appliance.placement.calibration import REPEAT_BYTES, REPEAT_TOLERANCE, Calibration
from appliance.placement.engine_shape import EngineShape, batched_tokens
from appliance.placement.kv_cache import KvLayout, kv_element_bytes, kv_layout, layer_kinds
from appliance.placement.overhead import (
    BASELINE_BYTES,
    BASELINE_UPPER_BYTES,
    FITTED,
    Overhead,
    OverheadConstants,
    expected_overhead,
    upper_overhead,
)
from appliance.placement.weights import header_weight_bytes, weight_bytes, weight_format

WEIGHTS_SLACK = 0.01
"""A cold promise holds back this share of the weights: the model's error on published starts stays below it."""
ALLOCATOR_BYTES = 16 * 2**20
"""PyTorch's caching allocator rounds its segments up; loading leaves about this much beyond the tensors."""


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """An engine's parts on its fullest rank, in bytes, as likely and as promised.

    `overhead` is likely; `promised_*` are upper bounds that a placement may rely on. `layout` turns pool bytes into
    tokens, `smallest_kv_bytes` holds one request of `max_model_len`. `source` is "cold" or "calibrated".
    """

    weights_bytes: int
    overhead: Overhead
    baseline_bytes: int
    promised_weights_bytes: int
    promised_overhead_bytes: int
    promised_graphs_bytes: int
    promised_baseline_bytes: int
    layout: KvLayout
    max_model_len: int
    step_tokens: int
    smallest_kv_bytes: int
    source: str

    @property
    def parts(self) -> dict[str, int]:
        """The likely parts by name, the KV cache left out."""
        return {
            "baseline": self.baseline_bytes,
            "weights": self.weights_bytes,
            "activation": self.overhead.activation_bytes,
            "graphs": self.overhead.graphs_bytes,
            "non_torch": self.overhead.non_torch_bytes,
        }

    def total_bytes(self, kv_bytes: int) -> int:
        """All that the process takes of the card at most with a KV cache of `kv_bytes`; what a ledger should book."""
        fixed = self.promised_baseline_bytes + self.promised_weights_bytes + self.promised_overhead_bytes
        return fixed + self.promised_graphs_bytes + kv_bytes


@dataclass(frozen=True, slots=True)
class Fits:
    """The budget holds the engine. `kv_bytes` and `kv_tokens` are likely, `promised_*` what one may count on.

    `concurrency` is how many requests of the full length the promised pool serves at once.
    """

    kv_bytes: int
    kv_tokens: int
    promised_kv_bytes: int
    promised_kv_tokens: int
    concurrency: float


@dataclass(frozen=True, slots=True)
class TooSmall:
    """The budget does not hold the engine for certain.

    `shortfall_bytes` is what is missing to the promise, `parts` what it is made of, `longest_model_len` the longest
    `max_model_len` that would fit (0: not even one block), `reasons` say it in words.
    """

    shortfall_bytes: int
    parts: dict[str, int]
    longest_model_len: int
    kv_bytes: int
    kv_tokens: int
    reasons: tuple[str, ...]


def engine_memory(
    geometry: Geometry,
    shape: EngineShape,
    card: Card,
    *,
    file_bytes: int | None = None,
    calibration: Calibration | None = None,
    constants: OverheadConstants = FITTED,
) -> EngineMemory:
    """The parts of one engine; with `calibration` (same key, see `calibration_key`) measured instead of reckoned.

    `file_bytes` are exact weight bytes summed over safetensors headers. Raises ValueError for an unknown quantisation
    or KV type, or a geometry that the ranks can't share.
    """
    stage = _stage(geometry, shape.pipeline_parallel_size)
    numbers = weight_format(shape.quantization, geometry.architecture, shape.dtype_bytes)
    ranks = shape.tensor_parallel_size
    if file_bytes is None:
        weights = weight_bytes(stage, numbers, ranks, shape.expert_ranks) + _rotary_bytes(geometry, shape)
    else:
        share = header_weight_bytes(stage, numbers, ranks, file_bytes) + _rotary_bytes(geometry, shape)
        weights = share if shape.pipeline_parallel_size == 1 else ceil(share / shape.pipeline_parallel_size)
    element = kv_element_bytes(shape.kv_cache_dtype, shape.dtype_bytes)
    kinds = layer_kinds(stage, element, shape.dtype_bytes, ranks, windows=not shape.legacy_engine)
    layout = kv_layout(kinds, shape.block_size)
    step = batched_tokens(shape, card)
    cold = EngineMemory(
        weights_bytes=weights + ALLOCATOR_BYTES,
        overhead=expected_overhead(stage, shape, card, constants),
        baseline_bytes=BASELINE_BYTES,
        promised_weights_bytes=ceil(weights * (1 + WEIGHTS_SLACK)) + ALLOCATOR_BYTES,
        promised_overhead_bytes=0,
        promised_graphs_bytes=0,
        promised_baseline_bytes=BASELINE_UPPER_BYTES,
        layout=layout,
        max_model_len=shape.max_model_len,
        step_tokens=step,
        smallest_kv_bytes=layout.request_bytes(shape.max_model_len, 2 * step),
        source="cold",
    )
    upper = upper_overhead(stage, shape, card, constants)
    cold = replace(cold, promised_overhead_bytes=upper.budget_bytes, promised_graphs_bytes=_outside(upper))
    return cold if calibration is None else _calibrated(cold, calibration)


def available_kv(memory: EngineMemory, card: Card, gpu_memory_utilization: float) -> Fits | TooSmall:
    """What ⌈utilization × total⌉ leaves for the KV cache, and whether one request of the full length fits in it.

    vLLM refuses to start where the card's free memory is below the budget, so the budget may not exceed the total less
    the baseline (vllm/v1/worker/utils.py request_memory).
    """
    if not 0 < gpu_memory_utilization <= 1:
        raise ValueError(f"gpu_memory_utilization must lie in (0, 1], not {gpu_memory_utilization}")
    budget = ceil(gpu_memory_utilization * card.total_bytes)
    free = card.total_bytes - memory.baseline_bytes
    if budget > free:
        reason = f"{_gib(budget)} asked for, but only {_gib(free)} are free once the process has started"
        return TooSmall(budget - free, memory.parts, 0, 0, 0, (reason,))
    return _verdict(memory, budget)


def pinned_kv(memory: EngineMemory, room_bytes: int, kv_bytes: int) -> Fits | TooSmall:
    """Whether an engine with a pinned KV cache lies within `room_bytes` of the card, and serves its full length."""
    needed = memory.total_bytes(kv_bytes)
    tokens = memory.layout.tokens(kv_bytes)
    reasons = []
    if needed > room_bytes:
        reasons.append(f"needs {_gib(needed)} with its KV cache, but has {_gib(room_bytes)}")
    if kv_bytes < memory.smallest_kv_bytes:
        reasons.append(
            f"a KV cache of {_gib(kv_bytes)} can't hold one request of {memory.max_model_len} tokens, "
            f"which takes {_gib(memory.smallest_kv_bytes)}"
        )
    if reasons:
        short = max(needed - room_bytes, memory.smallest_kv_bytes - kv_bytes)
        longest = memory.layout.longest_request(
            min(kv_bytes, kv_bytes + room_bytes - needed), 2 * memory.step_tokens, memory.max_model_len
        )
        return TooSmall(short, {**memory.parts, "kv": kv_bytes}, longest, kv_bytes, tokens, tuple(reasons))
    return Fits(kv_bytes, tokens, kv_bytes, tokens, kv_bytes / memory.smallest_kv_bytes)


def pinned_utilization(memory: EngineMemory, card: Card, kv_bytes: int) -> float:
    """The `gpu_memory_utilization` to pass beside a pinned KV cache, in thousandths.

    vLLM checks it against the card's free memory before it looks at the pin (gpu_worker.py), so it must be as small as
    the engine truly is rather than the default 0.92.
    """
    inside = memory.total_bytes(kv_bytes) - memory.promised_baseline_bytes
    return min(1.0, ceil(1000 * inside / card.total_bytes) / 1000)


def _verdict(memory: EngineMemory, budget: int) -> Fits | TooSmall:
    likely = max(0, budget - memory.weights_bytes - memory.overhead.budget_bytes)
    promised = max(0, budget - memory.promised_weights_bytes - memory.promised_overhead_bytes)
    tokens = memory.layout.tokens(likely)
    if promised >= memory.smallest_kv_bytes:
        concurrency = promised / memory.smallest_kv_bytes
        return Fits(likely, tokens, promised, memory.layout.tokens(promised), concurrency)
    needed = memory.promised_weights_bytes + memory.promised_overhead_bytes + memory.smallest_kv_bytes
    longest = memory.layout.longest_request(promised, 2 * memory.step_tokens, memory.max_model_len)
    reason = (
        f"the budget of {_gib(budget)} is {_gib(needed - budget)} short of weights "
        f"{_gib(memory.promised_weights_bytes)} + overhead {_gib(memory.promised_overhead_bytes)} + KV cache "
        f"{_gib(memory.smallest_kv_bytes)} for one request of {memory.max_model_len} tokens"
    )
    way_out = f"shorten max_model_len to {longest}" if longest else "quantise, use more GPUs or a larger one"
    parts = {**memory.parts, "smallest_kv": memory.smallest_kv_bytes}
    return TooSmall(needed - budget, parts, longest, likely, tokens, (reason, way_out))


def _calibrated(cold: EngineMemory, calibration: Calibration) -> EngineMemory:
    """Measured parts in place of reckoned ones; the promise holds back what equal starts differ by."""
    measured = calibration.measured_overhead_bytes
    slack = ceil(measured * REPEAT_TOLERANCE) + REPEAT_BYTES
    graphs_inside = cold.overhead.graphs_in_budget
    graphs = calibration.graphs_bytes
    inside = min(graphs, measured) if graphs_inside else 0
    non_torch = min(cold.overhead.non_torch_bytes, measured - inside)  # the sum is measured, its parts are not
    overhead = Overhead(measured - inside - non_torch, inside if graphs_inside else graphs, non_torch, graphs_inside)
    baseline = calibration.baseline_bytes
    return replace(
        cold,
        weights_bytes=calibration.weights_bytes,
        overhead=overhead,
        baseline_bytes=baseline if baseline is not None else cold.baseline_bytes,
        promised_weights_bytes=calibration.weights_bytes,
        promised_overhead_bytes=measured + slack,
        promised_graphs_bytes=0 if graphs_inside else graphs + REPEAT_BYTES,
        promised_baseline_bytes=baseline + REPEAT_BYTES if baseline is not None else cold.promised_baseline_bytes,
        source="calibrated",
    )


def _outside(overhead: Overhead) -> int:
    """Graphs that vLLM captures beyond its budget (before 0.21), with half as much again where reckoned."""
    return 0 if overhead.graphs_in_budget else ceil(1.5 * overhead.graphs_bytes)


def _stage(geometry: Geometry, stages: int) -> Geometry:
    """The fullest pipeline stage: 1/n of each kind of layer, rounded up, with the embeddings whole."""
    if stages == 1:
        return geometry
    groups = tuple(
        LayerGroup(ceil(group.count / stages), group.mixer, group.feed_forward, group.norm_elements)
        for group in geometry.groups
    )
    return replace(geometry, groups=groups, published_parameters=None)


def _rotary_bytes(geometry: Geometry, shape: EngineShape) -> int:
    """The cosine and sine cache of rotary positions, one row per position of the model's whole context.

    vllm/model_executor/layers/rotary_embedding: max_position_embeddings × rotary width × element bytes.
    """
    widths = [getattr(group.mixer, "head_size", 0) for group in geometry.groups]
    return geometry.context_tokens * max(widths, default=0) * shape.dtype_bytes


def _gib(value: int) -> str:
    return f"{value / 2**30:.2f} GiB"
