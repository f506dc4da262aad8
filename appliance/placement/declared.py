"""The placement that the configuration spells out: pool entries → engines, or the reasons why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import cycle

from appliance.domain.engine import Device, EngineSpec
from appliance.domain.gpu import Gpu, Host
from appliance.domain.placement import PoolEntry, Unplaceable

GIB = 2**30

CPU_PROCESS_BYTES = 1_150_000_000
"""Proportional memory of a vLLM CPU engine with a tiny model, both processes (measured with 0.32: 1.0 to 1.1 GB)."""
CPU_WEIGHT_COPIES = 2
"""While it loads, the file and the tensors are both in memory."""
SHARED_GPU_USE = 0.9
"""vLLM checks at start that `gpu_memory_utilization` of a GPU is free; engines that share one divide this between
them. With pinned KV bytes the figure has no other effect."""


def place(
    entries: Iterable[PoolEntry], device: Device, ports: Sequence[int], host: Host, gpus: Sequence[Gpu] = ()
) -> tuple[EngineSpec, ...] | Unplaceable:
    """One EngineSpec per replica, in the pool's order, on `ports` in theirs.

    On the CPU the engines' memory together must be available; on CUDA every named GPU must exist, and engines that
    name none are dealt out over the GPUs in turn.
    """
    entries = tuple(entries)
    reasons = [reason for entry in entries for reason in _entry_problems(entry)]
    count = sum(entry.replicas for entry in entries)
    if len(ports) < count:
        reasons.append(f"{count} engines need {count} ports, but there are {len(ports)}; lower engines.first_port")
    if device is Device.CPU:
        reasons += _cpu_problems(entries, host)
    else:
        reasons += _gpu_problems(entries, gpus)
    if reasons:
        return Unplaceable(tuple(reasons))
    specs = _specs(entries, device, ports)
    return specs if device is Device.CPU else _on_gpus(specs, gpus)


def cpu_engine_bytes(entry: PoolEntry) -> int:
    """Memory of one CPU engine of `entry`; what it once took, where that was more."""
    reckoned = CPU_PROCESS_BYTES + CPU_WEIGHT_COPIES * entry.weights_bytes + entry.kv_cache_memory_bytes
    return max(reckoned, entry.measured_bytes)


def _specs(entries: Iterable[PoolEntry], device: Device, ports: Iterable[int]) -> tuple[EngineSpec, ...]:
    free = iter(ports)
    return tuple(
        EngineSpec(
            engine_id=f"{entry.model.model_id}-{number}",
            model_id=entry.model.model_id,
            model_path=entry.model_path,
            device=device,
            port=next(free),
            max_model_len=entry.max_model_len,
            max_num_seqs=entry.max_num_seqs,
            max_num_batched_tokens=entry.max_num_batched_tokens,
            kv_cache_memory_bytes=entry.kv_cache_memory_bytes,
            dtype=entry.dtype,
            gpu_ids=entry.gpu_ids,
            tensor_parallel_size=entry.tensor_parallel_size,
            gpu_memory_utilization=entry.gpu_memory_utilization,
            enforce_eager=entry.enforce_eager,
            cpu_threads=entry.cpu_threads,
            tool_parser=entry.model.tool_parser,
            reasoning_parser=entry.model.reasoning_parser,
            extra_args=entry.extra_args,
            task=entry.model.task,
        )
        for entry in entries
        for number in range(entry.replicas)
    )


def _on_gpus(specs: Iterable[EngineSpec], gpus: Sequence[Gpu]) -> tuple[EngineSpec, ...]:
    """GPUs for the engines that name none; then a share of each GPU for the engines on it."""
    turn = cycle(gpu.uuid for gpu in gpus)
    placed = []
    for spec in specs:
        # Everything below speaks of GPUs by UUID, so that index and UUID of the same card can't miss each other.
        named = tuple(_uuid(gpu_id, gpus) for gpu_id in spec.gpu_ids)
        placed.append((spec, named or tuple(next(turn) for _ in range(spec.tensor_parallel_size))))
    shared = {gpu.uuid: sum(gpu.uuid in gpu_ids for _, gpu_ids in placed) for gpu in gpus}
    return tuple(_with_gpus(spec, gpu_ids, max(shared[gpu_id] for gpu_id in gpu_ids)) for spec, gpu_ids in placed)


def _with_gpus(spec: EngineSpec, gpu_ids: tuple[str, ...], engines: int) -> EngineSpec:
    use = spec.gpu_memory_utilization
    if engines > 1:
        use = min(use, round(SHARED_GPU_USE / engines, 3))
    return replace(spec, gpu_ids=gpu_ids, gpu_memory_utilization=use)


def _uuid(gpu_id: str, gpus: Iterable[Gpu]) -> str:
    return next((gpu.uuid for gpu in gpus if gpu_id in {gpu.uuid, str(gpu.index)}), "")


def _entry_problems(entry: PoolEntry) -> list[str]:
    model = entry.model
    if entry.max_model_len <= model.context_tokens:
        return []
    return [
        f"{model.model_id}: max_model_len {entry.max_model_len} is more than the model's context of "
        f"{model.context_tokens} tokens; set it to {model.context_tokens} or less"
    ]


def _cpu_problems(entries: Iterable[PoolEntry], host: Host) -> list[str]:
    entries = tuple(entries)
    named = [f"{e.model.model_id} names gpu_ids; set engines.device: cuda or remove them" for e in entries if e.gpu_ids]
    needed = sum(cpu_engine_bytes(entry) * entry.replicas for entry in entries)
    if needed <= host.available_bytes:
        return named
    largest = max(entries, key=cpu_engine_bytes)
    return [
        *named,
        f"{sum(e.replicas for e in entries)} engines need about {needed / GIB:.1f} GiB of memory, but "
        f"{host.available_bytes / GIB:.1f} GiB is available; end other programs, lower replicas, or take "
        f"{largest.model.model_id} ({cpu_engine_bytes(largest) / GIB:.1f} GiB) out of the pool",
    ]


def _gpu_problems(entries: Iterable[PoolEntry], gpus: Sequence[Gpu]) -> list[str]:
    if not gpus:
        return ["no NVIDIA GPU was found; install the driver, or set engines.device: cpu"]
    known = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in gpus)
    problems = []
    for entry in entries:
        name = entry.model.model_id
        problems += [
            f"{name}: there is no GPU {gpu_id}; gpu_ids may name {known}"
            for gpu_id in entry.gpu_ids
            if not _uuid(gpu_id, gpus)
        ]
        if entry.tensor_parallel_size > len(gpus):
            problems.append(f"{name}: tensor_parallel_size {entry.tensor_parallel_size}, but {len(gpus)} GPUs: {known}")
    return problems
