"""NVML's GPUs as a node of the solver."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from appliance.domain.gpu import Gpu, Host
from appliance.inventory.local import local_node
from appliance.inventory.nvml import scan_gpus
from tests.conftest import Scenario
from tests.fakes import nvml

ROOT = Path(__file__).parents[2]
MIB = 2**20
HOST = Host(cpus=8, total_bytes=64, available_bytes=48)


def test_facts_of_the_devices_are_kept(machine: Scenario) -> None:
    machine("mig")
    node = local_node(scan_gpus(), HOST)
    assert (node.name, node.host_bytes) == ("local", 48)
    assert [(a.gpu_id, a.parent, a.used_bytes // MIB) for a in node.accelerators] == [
        ("MIG-3g", "GPU-a100", 37),
        ("MIG-2g", "GPU-a100", 5013),
        ("MIG-1c-0", "GPU-a100", 12),
        ("GPU-h100-1", "", 4),
    ]
    assert [line.partition(":")[0] for line in node.left_out] == [
        "GPU 0 (NVIDIA A100-SXM4-40GB MIG 1c.2g.10gb, MIG-1c-1)",
        "GPU 1 (NVIDIA H100 80GB HBM3, GPU-h100-0)",
    ]


def test_own_engines_do_not_count_as_others(machine: Scenario) -> None:
    machine("eight-h100")
    node = local_node(scan_gpus(), HOST, others_bytes=lambda gpu: gpu.others_bytes({4242}))
    assert {device.used_bytes for device in node.accelerators} == {4 * MIB}
    assert {device.island for device in node.accelerators} == {"nvlink-0"}


def test_devices_at_one_socket_stand_together() -> None:
    gpus = tuple(Gpu(index, f"GPU-{index}", "L40S", 48, 48, pcie_group=f"pcie-{index % 2}") for index in range(4))
    assert [device.gpu_id for device in local_node(gpus, HOST).accelerators] == ["GPU-0", "GPU-2", "GPU-1", "GPU-3"]


def test_pynvml_s_own_loader_finds_the_library(nvml_library: Path) -> None:
    """Nothing is replaced in this process but the path of the dynamic linker."""
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(nvml_library.parent),
        nvml.SCENARIO: str(nvml.scenario("eight-h100")),
    }
    code = "from appliance.inventory.nvml import list_gpus; print(*(gpu.uuid for gpu in list_gpus()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [f"GPU-h100-{index}" for index in range(8)], done.stderr
