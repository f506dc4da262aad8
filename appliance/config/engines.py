"""The sections `engines`, `models` and `pool`: what runs, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from appliance.config.section import Section
from appliance.domain import engine_args
from appliance.domain.identifier import Identifier


class EnginesSettings(Section):
    """How engine processes are run."""

    python: Path = Path(".venv-engine/bin/python")
    """Python interpreter of the environment that holds vLLM."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes CUDA when NVML shows a GPU."""
    first_port: int = Field(8100, ge=1024, le=65000)
    """Engines listen on loopback at the first free ports from here on."""
    start_timeout_s: float = Field(300, gt=0)
    """An engine that has not generated a token by then has failed to start."""
    drain_timeout_s: float = Field(10, ge=0)
    """Requests in flight get this long to finish when an engine stops."""
    probe_every_s: float = Field(3, gt=0)
    """A ready engine is asked for one token this often."""
    probe_silent_s: float = Field(6, gt=0)
    """An engine that answers no probe for so long, and does nothing else either, is replaced. It must be longer than
    two steps of the slowest model."""
    sample_every_s: float = Field(5, gt=0)
    """Memory and load of the engines, for `GET /fleet` and `appliance status`, are looked at this often."""
    turn_shortest_s: float = Field(5, ge=0)
    """Of models that take turns on GPUs, the one that is awake stays so at least this long."""
    turn_longest_s: float = Field(60, gt=0)
    """It goes to sleep after this long when another one waits, even with work left."""
    max_parallel_starts: int = Field(8, ge=1)
    """Engines started at once on the CPU. Engines that share a GPU always start one after the other."""

    @model_validator(mode="after")
    def _turns_in_order(self) -> Self:
        if self.turn_shortest_s > self.turn_longest_s:
            raise ValueError("turn_shortest_s is more than turn_longest_s; lower it")
        return self


class ModelsSettings(Section):
    """Where models are described and stored."""

    catalog: Path
    """Directory of manifests (*.yaml)."""
    store: Path
    """Directory with one directory of weights per model id."""
    verify_digests: bool = True
    """Hash every file of a model against its manifest before an engine starts."""


class EngineSettings(Section):
    """vLLM's options of one pool member, under vLLM's names."""

    max_model_len: int = Field(4096, ge=16)
    """Longest prompt and answer together, in tokens."""
    max_num_seqs: int = Field(64, ge=1)
    """Sequences in one batch."""
    max_num_batched_tokens: int = Field(2048, ge=16)
    """Tokens in one step."""
    kv_cache_memory_bytes: int = Field(ge=1_000_000)
    """Bytes of KV cache per GPU: pinned, not a fraction, so that neighbours on a GPU leave each other alone."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """vLLM checks it at start even when the KV bytes are pinned; ignored on the CPU."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs per engine."""
    gpu_ids: tuple[str, ...] = ()
    """GPU indices or UUIDs; as many as `tensor_parallel_size`. Empty on the CPU."""
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    """Type of weights and activations."""
    enforce_eager: bool = False
    """No CUDA graphs and no compilation: a quick start, slower tokens."""
    cpu_threads: int = Field(1, ge=1)
    """OpenMP threads of a CPU engine."""
    extra_args: tuple[str, ...] = ()
    """Further vLLM options, as they would stand on its command line. What a setting says already is refused.
    `--kv-cache-dtype` and `--quantization fp8` count in the plan; what else changes memory counts once a start has
    measured it."""

    @field_validator("extra_args")
    @classmethod
    def _nothing_twice(cls, args: tuple[str, ...]) -> tuple[str, ...]:
        if problems := engine_args.refusals(args):
            raise ValueError("; ".join(problems))
        return args

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.gpu_ids and len(self.gpu_ids) != self.tensor_parallel_size:
            raise ValueError(
                f"gpu_ids names {len(self.gpu_ids)} GPUs, but tensor_parallel_size is {self.tensor_parallel_size}; "
                "make them equal"
            )
        return self


class PoolMember(Section):
    """One model of the pool and how many engines serve it."""

    model: Identifier
    """Id of a catalog manifest."""
    replicas: int = Field(1, ge=1, le=64)
    """Engines that serve it."""
    engine: EngineSettings
    """Options of each of its engines."""
