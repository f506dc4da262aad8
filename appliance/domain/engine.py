"""Engines: vLLM server processes, as specified, and as they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from appliance.domain.endpoint import EngineTask

LOCAL_NODE = "local"
"""The name of this machine, where nothing else names it."""


class Device(StrEnum):
    """What an engine computes on."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class EngineGroup:
    """Nodes that run one engine together, in vLLM's own mode for several nodes.

    This one is `rank` of `nodes`; rank 0 answers requests. All of them meet at `leader`:`port`.
    """

    nodes: int
    rank: int
    leader: str
    port: int


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine to run; vLLM's own names for vLLM's things.

    `gpu_ids` are indices or UUIDs for CUDA_VISIBLE_DEVICES and empty on the CPU. `cpu_threads` is the number of
    OpenMP threads of a CPU engine. `gpu_memory_utilization` is passed even where `kv_cache_memory_bytes` pins the KV
    cache, because vLLM checks it first. Of the engines with the same `turn_group` one is awake at a time (empty: it is
    awake all the time); the others sleep at vLLM's `sleep_level`, where 0 means that they are stopped instead. The
    parsers are vLLM's, for the model's way of calling tools and of thinking. `task` is what it makes of a prompt.
    """

    engine_id: str
    model_id: str
    model_path: PurePath
    device: Device
    port: int
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_memory_bytes: int
    host: str = "127.0.0.1"
    dtype: str = "auto"
    gpu_ids: tuple[str, ...] = ()
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    enforce_eager: bool = False
    cpu_threads: int = 1
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    extra_args: tuple[str, ...] = ()
    turn_group: str = ""
    sleep_level: int = 0
    node: str = LOCAL_NODE
    task: EngineTask = EngineTask.GENERATE
    group: EngineGroup | None = None


class EngineState(StrEnum):
    """Life of an engine; the legal transitions stand in `supervisor/engine_state.py`."""

    ABSENT = "absent"
    STARTING = "starting"
    WARMING = "warming"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"
    ASLEEP = "asleep"


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """An engine as the supervisor last saw it. `base_url` has no trailing slash and no `/v1`.

    `devices` are the GPUs that it holds; an engine on the CPU counts as one.
    """

    engine_id: str
    model_id: str
    state: EngineState
    base_url: str
    api_key: str
    max_model_len: int
    max_num_seqs: int
    pid: int | None = None
    detail: str = ""
    turn_group: str = ""
    devices: int = 1
    node: str = LOCAL_NODE
    task: EngineTask = EngineTask.GENERATE

    @property
    def awaits_turn(self) -> bool:
        """It takes no call now, but will when its turn comes: a call may wait for it."""
        switching = self.state in {EngineState.DRAINING, EngineState.WARMING}
        return self.state is EngineState.ASLEEP or (bool(self.turn_group) and switching)

    def __repr__(self) -> str:
        """Without the key, so that no log line can show it."""
        return f"EngineStatus({self.engine_id!r}, {self.model_id!r}, {self.state.value!r}, {self.base_url!r})"
