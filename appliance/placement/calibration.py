"""What an earlier start measured, and when it may be believed for the next one.

vLLM's own view is the same: profiled KV bytes are fixed per version, configuration and device
(vllm/v1/worker/startup_plan.py keys its store so).
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.gpu import Card
from appliance.placement.engine_shape import EngineShape, batched_tokens, sequences

REPEAT_TOLERANCE = 0.01
REPEAT_BYTES = 64 * 2**20
"""Equal starts are taken to differ by at most this share of the overhead and these bytes: allocator and driver."""


@dataclass(frozen=True, slots=True)
class CalibrationKey:
    """What two starts must share so that one's measurements hold for the other."""

    model_id: str
    revision: str
    gpu_name: str
    gpu_total_bytes: int
    vllm_version: str
    tensor_parallel_size: int
    pipeline_parallel_size: int
    max_num_seqs: int
    max_num_batched_tokens: int
    quantization: str
    kv_cache_dtype: str
    dtype_bytes: int
    enforce_eager: bool
    extra_flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibration:
    """One start, in bytes per rank, from the engine's log lines.

    `weights_bytes`: "Model loading took"; `kv_bytes`: "Available KV cache memory"; `graphs_bytes`: "Graph capturing
    finished … took"; `budget_bytes`: ⌈utilization × total⌉ that the start ran with (0 where the KV cache was pinned,
    then `overhead_bytes` must be given); `baseline_bytes`: NVML's figure for the process less everything reported.
    """

    key: CalibrationKey
    weights_bytes: int
    kv_bytes: int
    budget_bytes: int
    graphs_bytes: int = 0
    overhead_bytes: int | None = None
    baseline_bytes: int | None = None

    @property
    def measured_overhead_bytes(self) -> int:
        """Activation, non-torch and (from 0.21) graphs: the budget less weights and KV, or as given."""
        if self.overhead_bytes is not None:
            return self.overhead_bytes
        if self.budget_bytes <= 0:
            raise ValueError("a calibration needs the budget of its start, or its overhead")
        return max(0, self.budget_bytes - self.weights_bytes - self.kv_bytes)


def calibration_key(
    model_id: str, revision: str, shape: EngineShape, card: Card, extra_flags: tuple[str, ...] = ()
) -> CalibrationKey:
    """The key of a start; settings left open are resolved first. The model's length is no part of it in V1."""
    return CalibrationKey(
        model_id=model_id,
        revision=revision,
        gpu_name=card.name,
        gpu_total_bytes=card.total_bytes,
        vllm_version=shape.vllm_version,
        tensor_parallel_size=shape.tensor_parallel_size,
        pipeline_parallel_size=shape.pipeline_parallel_size,
        max_num_seqs=sequences(shape, card),
        max_num_batched_tokens=batched_tokens(shape, card),
        quantization=shape.quantization or "none",
        kv_cache_dtype=shape.kv_cache_dtype,
        dtype_bytes=shape.dtype_bytes,
        enforce_eager=shape.enforce_eager,
        extra_flags=tuple(sorted(extra_flags)),
    )
