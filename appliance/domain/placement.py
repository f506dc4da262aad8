"""What is to be placed, and the answer when it can't be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePath

from appliance.domain.model import Model


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """One model of the pool and the options of its engines, under vLLM's names, as in `EngineSpec`.

    `weights_bytes` is the size of the weights on disk, `measured_bytes` what an earlier start on the CPU took (0: there
    was none).
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
    measured_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Unplaceable:
    """No placement exists; each reason says what is wrong and the way out."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons)


@dataclass(frozen=True, slots=True)
class PlannedEngine:
    """One engine of a plan; bytes are per GPU.

    `booked_bytes` is all that it may take of each of its GPUs, made of `weights_bytes`, `kv_cache_memory_bytes` and
    the rest. `requests_per_s` is an estimate: whole requests that it keeps up with in its `share` of the GPUs' time.
    `turn_group` is empty where it is awake all the time.
    """

    engine_id: str
    model_id: str
    node: str
    gpu_ids: tuple[str, ...]
    tensor_parallel_size: int
    kv_cache_memory_bytes: int
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    gpu_memory_utilization: float
    booked_bytes: int
    weights_bytes: int
    kv_tokens: int
    requests_per_s: float
    share: float
    roles: tuple[str, ...] = ()
    turn_group: str = ""
    asleep_bytes: int = 0
    pipeline_parallel_size: int = 1

    @property
    def place(self) -> tuple[str, str, tuple[str, ...]]:
        """What stays the same while it is not moved."""
        return self.model_id, self.node, self.gpu_ids


@dataclass(frozen=True, slots=True)
class PlannedGpu:
    """One GPU under a plan: its memory, what others hold of it, and what is kept free."""

    node: str
    gpu_id: str
    name: str
    total_bytes: int
    used_bytes: int
    reserve_bytes: int


@dataclass(frozen=True, slots=True)
class Pack:
    """The engines of one node: one supervisor, one pod."""

    node: str
    gpu_ids: tuple[str, ...]
    engine_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TurnGroup:
    """Engines that share GPUs by sleep and wake: one of them is awake at a time."""

    name: str
    node: str
    gpu_ids: tuple[str, ...]
    engine_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlacementPlan:
    """Where each engine goes, what that yields, and why.

    `requests_per_s` (None: no demand was given) and `bound_per_s`, which no placement exceeds, are estimates of whole
    requests. `bottleneck` is the model that bounds them. `roles` gives the models of each role in the order in which
    they should be asked.
    """

    engines: tuple[PlannedEngine, ...]
    gpus: tuple[PlannedGpu, ...]
    packs: tuple[Pack, ...]
    turns: tuple[TurnGroup, ...]
    roles: tuple[tuple[str, tuple[str, ...]], ...]
    requests_per_s: float | None
    bound_per_s: float | None
    wanted_per_s: float | None
    bottleneck: str
    status: str
    reasons: tuple[str, ...]

    def on_gpu(self, node: str, gpu_id: str) -> tuple[PlannedEngine, ...]:
        """The engines that take part of one GPU."""
        return tuple(engine for engine in self.engines if engine.node == node and gpu_id in engine.gpu_ids)

    def taken_bytes(self, node: str, gpu_id: str) -> int:
        """What the engines take of one GPU at most: of those that take turns the largest, and what the others leave."""
        return taken_bytes(self.on_gpu(node, gpu_id))


def taken_bytes(engines: Collection[PlannedEngine]) -> int:
    """What engines on one GPU take of it at most; of each group that takes turns one is awake."""
    steady = sum(engine.asleep_bytes if engine.turn_group else engine.booked_bytes for engine in engines)
    awake: dict[str, int] = {}
    for engine in engines:
        if engine.turn_group:
            more = engine.booked_bytes - engine.asleep_bytes
            awake[engine.turn_group] = max(awake.get(engine.turn_group, 0), more)
    return steady + sum(awake.values())
