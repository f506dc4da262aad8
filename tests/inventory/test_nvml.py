"""The real pynvml against a fake driver library: what is found, what is unknown, what is not offered."""

from __future__ import annotations

import pynvml
import pytest

from appliance.domain.gpu import Gpu, GpuProcess
from appliance.errors import InventoryError
from appliance.inventory.nvml import energy_j, free_bytes, list_gpus, scan_gpus, unhealthy_line
from tests.conftest import Scenario
from tests.fakes import nvml

MIB = 2**20


def test_no_driver_means_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.unload(monkeypatch)
    assert scan_gpus() == ()
    assert list_gpus() == ()


def test_eight_h100(machine: Scenario) -> None:
    machine("eight-h100")
    gpus = list_gpus()
    assert [gpu.uuid for gpu in gpus] == [f"GPU-h100-{index}" for index in range(8)]
    assert {(gpu.name, gpu.compute_capability, gpu.island) for gpu in gpus} == {
        ("NVIDIA H100 80GB HBM3", (9, 0), "nvlink-0")
    }
    assert [gpu.pcie_group for gpu in gpus] == ["pcie-0"] * 4 + ["pcie-1"] * 4
    assert (gpus[0].total_bytes, gpus[0].free_bytes) == (81559 * MIB, 81555 * MIB)


def test_memory_of_own_processes_is_not_taken_by_others(machine: Scenario) -> None:
    machine("eight-h100")
    gpu = list_gpus()[7]
    assert gpu.processes == (GpuProcess(4242, 18432 * MIB),)
    assert gpu.others_bytes() == 18436 * MIB
    assert gpu.others_bytes({4242, 1}) == 4 * MIB


def test_process_memory_that_is_not_told_counts_as_that_of_others(machine: Scenario) -> None:
    machine("l4-a100", "process 0 99 -1")
    gpu = list_gpus()[0]
    assert gpu.processes == (GpuProcess(99, None),)
    assert gpu.others_bytes({99}) == 1 * MIB


def test_mixed_cards_without_nvlink(machine: Scenario) -> None:
    machine("l4-a100")
    l4, a100 = list_gpus()
    assert (l4.compute_capability, a100.compute_capability) == ((8, 9), (8, 0))
    assert (l4.island, a100.island) == ("", "")
    assert l4.pcie_group != a100.pcie_group
    assert l4.total_bytes < a100.total_bytes


def test_bridges_join_pairs_where_the_driver_can_use_them(machine: Scenario) -> None:
    machine("bridged")
    assert [gpu.island for gpu in list_gpus()] == ["nvlink-0", "nvlink-0", "", "", "nvlink-1", "nvlink-1"]
    assert {gpu.pcie_group for gpu in list_gpus()} == {""}


def test_mig_instances_are_devices_of_their_own(machine: Scenario) -> None:
    machine("mig")
    assert [(gpu.uuid, gpu.index, gpu.parent) for gpu in list_gpus()] == [
        ("MIG-3g", 0, "GPU-a100"),
        ("MIG-2g", 0, "GPU-a100"),
        ("MIG-1c-0", 0, "GPU-a100"),
        ("GPU-h100-1", 2, ""),
    ]
    third, second = list_gpus()[:2]
    assert third == Gpu(
        0, "MIG-3g", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 19968 * MIB, 19931 * MIB, (8, 0), parent="GPU-a100"
    )
    assert (second.processes, second.others_bytes({77})) == ((GpuProcess(77, 5000 * MIB),), 13 * MIB)


def test_instances_that_the_driver_does_not_name_are_named_by_their_slices(machine: Scenario) -> None:
    plain = "19968 0 9 NVIDIA H100 80GB HBM3"
    machine("mig", f"instance 1 MIG-a {plain}", f"instance 1 MIG-b {plain}".replace(" 9 ", " 8 "), "slices 1 0 3 3")
    assert next(gpu.name for gpu in list_gpus() if gpu.uuid == "MIG-a") == "NVIDIA H100 80GB HBM3 MIG 3g.20gb"
    assert next(gpu.name for gpu in list_gpus() if gpu.uuid == "MIG-b") == "NVIDIA H100 80GB HBM3"
    machine("mig", f"instance 1 MIG-a {plain}", "slices 1 0 3 1")
    assert next(gpu.name for gpu in list_gpus() if gpu.uuid == "MIG-a") == "NVIDIA H100 80GB HBM3 MIG 1c.3g.20gb"


def test_mig_that_can_not_be_used_says_why(machine: Scenario) -> None:
    machine("mig")
    unhealthy = {gpu.uuid: gpu.unhealthy for gpu in scan_gpus() if gpu.unhealthy}
    assert unhealthy.keys() == {"MIG-1c-1", "GPU-h100-0"}
    assert "shares the memory of MIG-1c-0" in unhealthy["MIG-1c-1"]
    assert "nvidia-smi mig -cgi" in unhealthy["GPU-h100-0"]


def test_instances_of_a_sick_gpu_are_sick(machine: Scenario) -> None:
    machine("mig", "remapped 0 1 0")
    assert [gpu.uuid for gpu in list_gpus()] == ["GPU-h100-1"]


def test_a_gpu_that_fell_off_the_bus_is_listed_but_not_offered(machine: Scenario) -> None:
    machine("lost")
    assert [gpu.index for gpu in list_gpus()] == [0, 2]
    lost = scan_gpus()[1]
    assert (lost.index, lost.total_bytes) == (1, 0)
    assert unhealthy_line(lost).startswith("GPU 1 (NVIDIA GPU): it has fallen off the bus")


@pytest.mark.parametrize(
    "call",
    ["nvmlDeviceGetMemoryInfo", "nvmlDeviceGetRemappedRows", "nvmlDeviceGetComputeRunningProcesses_v3"],
)
def test_a_gpu_that_is_lost_half_way(machine: Scenario, call: str) -> None:
    machine("l4-a100", f"fail 0 {call} 15")
    assert [gpu.uuid for gpu in list_gpus()] == ["GPU-a100"]
    assert unhealthy_line(scan_gpus()[0]).startswith("GPU 0 (NVIDIA L4, GPU-l4): it has fallen off the bus")


def test_a_gpu_that_is_lost_while_links_are_read(machine: Scenario) -> None:
    machine("eight-h100", "fail 3 nvmlDeviceGetNvLinkState 15")
    assert {gpu.island for gpu in list_gpus()} == {""}


@pytest.mark.parametrize(
    ("uuid", "words"),
    [
        ("GPU-ecc", "3 uncorrectable memory errors"),
        ("GPU-row", "a bad row of its memory waits to be remapped; reset it"),
        ("GPU-failed", "should be replaced"),
        ("GPU-page", "a bad page of its memory waits to be retired"),
        ("GPU-recovery", "asks for a reset"),
        ("GPU-reset", "it needs a reset"),
        ("GPU-untold", "does not tell its memory"),
        ("", "this user may not use it"),
    ],
)
def test_sick_gpus_say_what_they_have(machine: Scenario, uuid: str, words: str) -> None:
    machine("sick")
    assert [gpu.uuid for gpu in list_gpus()] == ["GPU-sound"]
    (gpu,) = [gpu for gpu in scan_gpus() if gpu.uuid == uuid]
    assert words in gpu.unhealthy


@pytest.mark.parametrize(
    "call",
    [
        "nvmlDeviceGetCudaComputeCapability",
        "nvmlDeviceGetPciInfo_v3",
        "nvmlDeviceGetNvLinkState",
        "nvmlDeviceGetNvLinkRemoteDeviceType",
        "nvmlDeviceGetNvLinkRemotePciInfo_v2",
        "nvmlDeviceGetTopologyCommonAncestor",
        "nvmlDeviceGetP2PStatus",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetTotalEccErrors",
        "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetRetiredPagesPendingStatus",
        "nvmlDeviceGetFieldValues",
    ],
)
def test_what_a_card_does_not_support_is_unknown(machine: Scenario, call: str) -> None:
    for error in (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION):
        machine("bridged", f"fail * {call} {error}")
        assert len(list_gpus()) == 6


def test_a_driver_that_fails_is_no_missing_driver(machine: Scenario) -> None:
    machine("l4-a100", f"fail * nvmlInitWithFlags {pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH}")
    with pytest.raises(InventoryError, match=r"driver is installed, but fails \(NVML: .*mismatch\); .*engines\.device"):
        list_gpus()
    machine("l4-a100", f"fail * nvmlDeviceGetCount_v2 {pynvml.NVML_ERROR_UNKNOWN}")
    with pytest.raises(InventoryError, match="Unknown Error"):
        scan_gpus()


def test_an_installed_driver_without_a_card_is_no_failure(
    machine: Scenario, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine("l4-a100", f"fail * nvmlInitWithFlags {pynvml.NVML_ERROR_DRIVER_NOT_LOADED}")
    devices = tmp_path_factory.mktemp("pci")
    assert scan_gpus(devices) == ()
    (devices / "0000:17:00.0").mkdir()
    (devices / "0000:17:00.0" / "vendor").write_text("0x10de\n")
    with pytest.raises(InventoryError, match="Driver Not Loaded"):
        scan_gpus(devices)


def test_no_usable_gpu_is_an_error_that_names_each(machine: Scenario) -> None:
    machine("lost", "recovery 0 1", "fail 2 * 15")
    with pytest.raises(InventoryError, match=r"no GPU here can be used: GPU 0 .*reset.*; GPU 1 .*; GPU 2 "):
        list_gpus()


def test_free_memory_of_one_gpu_by_its_uuid(machine: Scenario) -> None:
    machine("eight-h100")
    assert free_bytes("GPU-h100-0") == 81555 * MIB
    assert free_bytes("GPU-unknown") is None


def test_without_a_driver_free_memory_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.unload(monkeypatch)
    assert free_bytes("GPU-h100-0") is None


def test_the_energy_counter_of_one_gpu(machine: Scenario) -> None:
    machine("l4-a100", "energy 0 123456789")
    assert energy_j("GPU-l4") == 123456.789
    assert energy_j("GPU-a100") is None
    assert energy_j("GPU-unknown") is None
