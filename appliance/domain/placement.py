"""What is to be placed, and the answer when it can't be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from appliance.domain.model import Model


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """One model of the pool and the options of its engines, under vLLM's names, as in `EngineSpec`.

    `weights_bytes` is the size of the weights on disk.
    """

    model: Model
    model_path: PurePath
    weights_bytes: int
    replicas: int
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_memory_bytes: int
    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    gpu_ids: tuple[str, ...] = ()
    dtype: str = "auto"
    enforce_eager: bool = False
    cpu_threads: int = 1
    extra_args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unplaceable:
    """No placement exists; each reason says what is wrong and the way out."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons)
