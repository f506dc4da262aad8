"""The declared placement and its refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from appliance.domain.engine import Device, EngineSpec
from appliance.domain.gpu import Gpu, Host
from appliance.domain.model import Model, Role
from appliance.domain.placement import PoolEntry, Unplaceable
from appliance.placement.declared import CPU_PROCESS_BYTES, cpu_engine_bytes, place

GIB = 2**30
ROOMY = Host(cpus=4, total_bytes=64 * GIB, available_bytes=48 * GIB)
GPUS = tuple(Gpu(index, f"GPU-{index}", "L40S", 48 * GIB, 47 * GIB) for index in range(2))


def entry(name: str, **fields: object) -> PoolEntry:
    model = Model(
        model_id=name,
        repository="embedded",
        revision="1",
        licence="Apache-2.0",
        publisher="p",
        country="c",
        family="f",
        architecture="LlamaForCausalLM",
        parameters=1_000_000,
        dtype="bfloat16",
        context_tokens=1024,
        roles=frozenset({Role.GENERALIST}),
        skills={},
        prompt_set="starter",
        files=(),
    )
    made = PoolEntry(model, PurePath("/store") / name, 2_000_000, 1, 768, 16, 1024, 32 << 20)
    return replace(made, **fields)  # type: ignore[arg-type]  # the fields are named by each test


def placed(*entries: PoolEntry, device: Device = Device.CPU, gpus: tuple[Gpu, ...] = GPUS) -> tuple[EngineSpec, ...]:
    result = place(entries, device, range(8100, 8110), ROOMY, gpus)
    assert isinstance(result, tuple), result
    return result


def refused(*entries: PoolEntry, device: Device = Device.CPU, host: Host = ROOMY, gpus: tuple[Gpu, ...] = GPUS) -> str:
    result = place(entries, device, range(8100, 8110), host, gpus)
    assert isinstance(result, Unplaceable)
    return str(result)


def test_replicas_get_ids_and_ports_in_order() -> None:
    specs = placed(entry("a", replicas=2), entry("b", cpu_threads=3))
    assert [(s.engine_id, s.port) for s in specs] == [("a-0", 8100), ("a-1", 8101), ("b-0", 8102)]
    assert specs[2].cpu_threads == 3
    assert specs[0].model_path == PurePath("/store/a")


def test_too_little_memory_is_refused_with_the_figures() -> None:
    pool = entry("small"), entry("large", weights_bytes=3 * GIB, replicas=2)
    told = refused(*pool, host=replace(ROOMY, available_bytes=4 * GIB))
    assert told.startswith("3 engines need about 15.3 GiB of memory, but 4.0 GiB is available;")
    assert "large (7.1 GiB)" in told
    assert cpu_engine_bytes(pool[0]) == CPU_PROCESS_BYTES + 4_000_000 + (32 << 20)


def test_a_context_longer_than_the_models_is_refused() -> None:
    assert "a: max_model_len 2048 is more than the model's context of 1024 tokens; set it to 1024" in refused(
        entry("a", max_model_len=2048)
    )


def test_all_reasons_are_told_at_once() -> None:
    told = place([entry("a", max_model_len=2048), entry("b", replicas=3)], Device.CPU, (8100,), ROOMY)
    assert isinstance(told, Unplaceable)
    assert len(told.reasons) == 2
    assert "4 engines need 4 ports, but there are 1" in told.reasons[1]


def test_gpus_are_dealt_out_in_turn() -> None:
    specs = placed(entry("a"), entry("b"), entry("c", gpu_ids=("1",)), device=Device.CUDA)
    assert [s.gpu_ids for s in specs] == [("GPU-0",), ("GPU-1",), ("GPU-1",)]
    assert [s.gpu_memory_utilization for s in specs] == [0.9, 0.45, 0.45]


def test_tensor_parallel_engines_get_that_many_gpus() -> None:
    [spec] = placed(entry("a", tensor_parallel_size=2), device=Device.CUDA)
    assert spec.gpu_ids == ("GPU-0", "GPU-1")


def test_gpu_refusals() -> None:
    assert "no NVIDIA GPU was found" in refused(entry("a"), device=Device.CUDA, gpus=())
    assert "there is no GPU 7; gpu_ids may name 0 (L40S), 1 (L40S)" in refused(
        entry("a", gpu_ids=("7",)), device=Device.CUDA
    )
    assert "tensor_parallel_size 4, but 2 GPUs" in refused(entry("a", tensor_parallel_size=4), device=Device.CUDA)
    assert "names gpu_ids; set engines.device: cuda" in refused(entry("a", gpu_ids=("0",)))
