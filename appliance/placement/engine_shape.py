"""What is asked of one engine, and what vLLM makes of the settings left open."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.domain.gpu import Card

GIB = 2**30
DEFAULT_VLLM_VERSION = "0.33.0"
"""What is planned for where no vLLM is installed."""
UNKNOWN_VERSION = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class EngineShape:
    """The settings of one engine that its memory follows from; vLLM's own names. None: vLLM's default.

    `legacy_engine` is vLLM's V0 engine (the default before 0.8, gone since 0.11). `expert_ranks` counts the GPUs that
    share the experts where data-parallel attention makes them more than `tensor_parallel_size`.
    """

    max_model_len: int
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    quantization: str | None = None
    kv_cache_dtype: str = "auto"
    dtype_bytes: int = 2
    block_size: int = 16
    enforce_eager: bool = False
    vllm_version: str = DEFAULT_VLLM_VERSION
    legacy_engine: bool = False
    expert_ranks: int = 0


def version_of(text: str) -> tuple[int, int, int]:
    """The leading `major.minor.patch` of a version text; `UNKNOWN_VERSION` where there is none."""
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text.strip())
    if match is None:
        return UNKNOWN_VERSION
    return int(match[1]), int(match[2]), int(match[3] or 0)


def batched_tokens(shape: EngineShape, card: Card) -> int:
    """Tokens of one step, the size of the profiling run.

    V1's defaults for its API server (vllm/engine/arg_utils.py): 16384 from 160 GiB up (since 0.17), 8192 from 70 GiB up
    except A100, else 2048. V0 without chunked prefill runs the whole model length at once, at least 2048; above 32768
    tokens it chunks by 2048.
    """
    if shape.max_num_batched_tokens:
        return shape.max_num_batched_tokens
    if shape.legacy_engine:
        return max(shape.max_model_len, 2048) if shape.max_model_len <= 32768 else 2048
    if card.total_bytes >= 160 * GIB and version_of(shape.vllm_version) >= (0, 17, 0):
        return 16384
    return 8192 if _is_large(card) else 2048


def sequences(shape: EngineShape, card: Card) -> int:
    """Sequences of the sampler's profiling run: V1's default is 1024 on large cards, 256 elsewhere and in V0."""
    default = 1024 if _is_large(card) and not shape.legacy_engine else 256
    return min(shape.max_num_seqs or default, batched_tokens(shape, card))


def capture_sizes(shape: EngineShape, card: Card) -> int:
    """Number of batch sizes captured as CUDA graphs: 1, 2, 4, 8..256 by 8, then by 16 up to min(2 × sequences, 512).

    vllm/config/vllm.py, _set_cudagraph_sizes; none with `enforce_eager`.
    """
    if shape.enforce_eager:
        return 0
    top = min(2 * sequences(shape, card), 512)
    small = sum(1 for size in (1, 2, 4) if size <= top)
    return small + min(top, 256) // 8 + max(0, top - 256) // 16


def _is_large(card: Card) -> bool:
    """70 GiB or more, and not an A100 nor a GB10 (vllm/engine/arg_utils.py, get_batch_defaults)."""
    return card.total_bytes >= 70 * GIB and not any(name in card.name.upper() for name in ("A100", "GB10"))
