"""The memory model's parts beside what a card shows for a process of torch, and the inventory beside nvidia-smi."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from appliance.catalog.loader import load_manifest
from appliance.domain.geometry import Geometry
from appliance.domain.gpu import Gpu
from appliance.errors import InventoryError
from appliance.inventory.nvml import list_gpus, scan_gpus
from appliance.placement.engine_shape import EngineShape
from appliance.placement.memory import engine_memory
from appliance.placement.overhead import BASELINE_UPPER_BYTES
from appliance.placement.weights import weight_bytes, weight_format
from tests.fakes.engine_commands import ROOT
from tests.gpu.torch_process import Look, torch_process, why_no_torch

MIB, GIB = 2**20, 2**30
MODEL = "llama-3.2-3b-instruct"
NEEDED_BYTES = 10 * GIB
WEIGHTS_TOLERANCE = 0.01
CUDA_SHARE = 0.95
"""CUDA's size of a card leaves out what the driver keeps for itself: 0.6 of 79.6 GiB on an H100, more on small ones."""


def manifest_config() -> Mapping[str, Any]:
    config = yaml.safe_load((ROOT / "models" / "catalog" / f"{MODEL}.yaml").read_text())["config"]
    assert isinstance(config, dict)
    return config


def geometry() -> Geometry:
    found = load_manifest(ROOT / "models" / "catalog" / f"{MODEL}.yaml").geometry
    assert found is not None
    return found


def tensor_shapes(config: Mapping[str, Any]) -> list[list[int]]:
    """The tensors of a Llama with a tied output head as vLLM holds them, written down without the memory model."""
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    size = config.get("head_dim") or hidden // heads
    query, keys = heads * size, config["num_key_value_heads"] * size
    layer = [[query + 2 * keys, hidden], [hidden, query], [2 * inner, hidden], [hidden, inner], [hidden], [hidden]]
    return [[config["vocab_size"], hidden], *(layer * config["num_hidden_layers"]), [hidden]]


def shape_bytes(shapes: list[list[int]]) -> int:
    return sum(2 * shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in shapes)


def test_the_memory_model_s_weights_are_those_tensors() -> None:
    """Needs no card: what the tests below put on one is what the model means."""
    config = manifest_config()
    assert config["tie_word_embeddings"] is True
    expected = weight_bytes(geometry(), weight_format(None, geometry().architecture), 1)
    assert shape_bytes(tensor_shapes(config)) == pytest.approx(expected, rel=WEIGHTS_TOLERANCE)


def devices() -> tuple[Gpu, ...]:
    try:
        found = list_gpus()
    except InventoryError as error:
        pytest.skip(str(error))
    if not found:
        pytest.skip("there is no NVIDIA GPU here: NVML finds no driver")
    return found


@pytest.fixture
def gpu() -> Gpu:
    """The device with the most free memory, with torch beside it."""
    found = max(devices(), key=lambda gpu: gpu.free_bytes)
    if found.free_bytes < NEEDED_BYTES:
        pytest.skip(f"no GPU here has {NEEDED_BYTES / GIB:.0f} GiB free")
    if reason := why_no_torch(found.uuid):
        pytest.skip(reason)
    return found


def held_bytes(before: Gpu, pid: int) -> int:
    """What NVML gives to the process; where it does not tell (pids of another namespace), what the card lost."""
    (now,) = (gpu for gpu in scan_gpus() if gpu.uuid == before.uuid)
    told = [process.used_bytes for process in now.processes if process.pid == pid]
    if told and told[0] is not None:
        return told[0]
    return before.free_bytes - now.free_bytes


@pytest.fixture
def looks(gpu: Gpu) -> list[tuple[Look, int]]:
    """After the CUDA context, and with all weights: what torch says, and what NVML shows for the process."""
    with torch_process(gpu.uuid, tensor_shapes(manifest_config())) as process:
        return [(process.next_look(), held_bytes(gpu, process.pid)) for _ in range(2)]


@pytest.mark.gpu
def test_context_and_weights_on_the_card(gpu: Gpu, looks: list[tuple[Look, int]]) -> None:
    (context, context_held), (loaded, loaded_held) = looks
    memory = engine_memory(geometry(), EngineShape(max_model_len=4096), gpu.card)

    baseline = context_held - context.reserved_bytes
    print(f"{gpu.name}: CUDA context {baseline / GIB:.2f} GiB, reckoned {memory.baseline_bytes / GIB:.2f}")
    assert 0 < baseline <= BASELINE_UPPER_BYTES

    tensors = loaded.allocated_bytes - context.allocated_bytes
    expected = weight_bytes(geometry(), weight_format(None, geometry().architecture), 1)
    print(f"{MODEL}: tensors {tensors / GIB:.3f} GiB, reckoned {expected / GIB:.3f}")
    assert tensors == pytest.approx(expected, rel=WEIGHTS_TOLERANCE)

    grown = loaded_held - context_held
    print(f"on the card {grown / GIB:.3f} GiB, promised {memory.promised_weights_bytes / GIB:.3f}")
    assert tensors * (1 - WEIGHTS_TOLERANCE) <= grown <= memory.promised_weights_bytes


@pytest.mark.gpu
def test_memory_of_an_own_process_is_not_that_of_others(gpu: Gpu) -> None:
    with torch_process(gpu.uuid, [[1]]) as process:
        process.next_look()
        (now,) = (found for found in scan_gpus() if found.uuid == gpu.uuid)
        held = {found.pid: found.used_bytes for found in now.processes}
        if held.get(process.pid) is None:
            pytest.skip("NVML does not tell the memory of this process: it sees other pids than this container")
        assert now.others_bytes({process.pid}) == now.total_bytes - now.free_bytes - (held[process.pid] or 0)


@pytest.mark.gpu
def test_cuda_and_nvml_agree_on_the_size_of_the_card(gpu: Gpu) -> None:
    with torch_process(gpu.uuid, [[1]]) as process:
        share = process.next_look().cuda_total_bytes / gpu.total_bytes
    assert CUDA_SHARE <= share <= 1


@pytest.mark.gpu
def test_the_inventory_is_that_of_nvidia_smi() -> None:
    found = devices()
    if shutil.which("nvidia-smi") is None:
        pytest.skip("nvidia-smi is not on the path")
    fields = "index,uuid,name,memory.total,mig.mode.current"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    rows = [line.split(", ") for line in subprocess.check_output(command, text=True, timeout=60).splitlines()]
    whole = {gpu.uuid: gpu for gpu in scan_gpus() if not gpu.parent}
    for index, uuid, name, total_mib, mig in rows:
        if mig == "Enabled":
            continue
        gpu = whole[uuid]
        assert (gpu.index, gpu.name) == (int(index), name)
        assert abs(gpu.total_bytes / MIB - float(total_mib)) <= 1
    listed = subprocess.check_output(["nvidia-smi", "-L"], text=True, timeout=60)
    for gpu in found:
        assert gpu.uuid in listed
        assert gpu.total_bytes >= gpu.free_bytes > 0
        assert gpu.compute_capability is None or gpu.compute_capability >= (3, 0)
