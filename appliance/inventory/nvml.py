"""NVIDIA GPUs of this machine, and their MIG instances, through NVML."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import pynvml

from appliance.domain.gpu import Gpu, GpuProcess
from appliance.errors import InventoryError
from appliance.inventory.gpu_health import health_problem
from appliance.inventory.nvml_call import known, text, words
from appliance.inventory.topology import nvlink_islands, pcie_groups

T = TypeVar("T")

PCI_DEVICES = Path("/sys/bus/pci/devices")
NVIDIA = "0x10de"
UNNAMED = "NVIDIA GPU"
GO_WITHOUT = "or set engines.device: cpu to go without GPUs"
NO_INSTANCE = (
    "MIG is on, but it has no instance; make one with `nvidia-smi mig -cgi PROFILE -C`, or switch MIG off with "
    "`nvidia-smi -mig 0`"
)


@dataclass(frozen=True, slots=True)
class _Card:
    """A GPU with its handle; the instances that MIG has cut it into, None where MIG is off."""

    handle: Any
    gpu: Gpu
    instances: tuple[Gpu, ...] | None


def list_gpus() -> tuple[Gpu, ...]:
    """The devices that engines can be put on, in NVML's order; none where there is no driver.

    Raises InventoryError where the driver fails, or where there are GPUs but none that can be used.
    """
    return healthy(scan_gpus())


def healthy(gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Those that engines can be put on. Raises InventoryError where there are GPUs, but none of them is one."""
    found = tuple(gpu for gpu in gpus if not gpu.unhealthy)
    if gpus and not found:
        raise InventoryError(f"no GPU here can be used: {'; '.join(map(unhealthy_line, gpus))}; {GO_WITHOUT}")
    return found


def scan_gpus(pci_devices: Path = PCI_DEVICES) -> tuple[Gpu, ...]:
    """All devices, those that can't be used with the reason why; none where there is no driver.

    Where MIG is on, its instances stand in the place of the GPU. Raises InventoryError where there is a driver, but it
    fails.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return ()
        if error.value == pynvml.NVML_ERROR_DRIVER_NOT_LOADED and not _has_nvidia_card(pci_devices):
            return ()  # the driver is installed, but there is nothing for it to drive
        raise _failing(error) from None
    try:
        return _scan()
    except pynvml.NVMLError as error:
        raise _failing(error) from None
    finally:
        pynvml.nvmlShutdown()


def driver_version() -> str:
    """Of the machine, such as `580.95.05`; empty where there is none, or where it does not tell."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ""
    try:
        return text(known(pynvml.nvmlSystemGetDriverVersion) or "")
    except pynvml.NVMLError:
        return ""
    finally:
        pynvml.nvmlShutdown()


def free_bytes(gpu_id: str) -> int | None:
    """What is free on one GPU or MIG instance, by its UUID; None where NVML does not say."""
    return _asked(_free_bytes, gpu_id)


def energy_j(gpu_id: str) -> float | None:
    """What a GPU has taken since its driver was loaded; None for a MIG instance, and for GPUs before Volta."""
    return _asked(_energy_j, gpu_id)


def _asked(question: Callable[[str], T], gpu_id: str) -> T | None:
    """NVML stays initialised from the first call on: that can take long, and this is asked in the event loop."""
    try:
        try:
            return question(gpu_id)
        except pynvml.NVMLError_Uninitialized:
            pynvml.nvmlInit()
            return question(gpu_id)
    except pynvml.NVMLError:
        return None


def _free_bytes(gpu_id: str) -> int:
    return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(gpu_id)).free)


def _energy_j(gpu_id: str) -> float:
    return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByUUID(gpu_id))) / 1_000


def unhealthy_line(gpu: Gpu) -> str:
    """Which device can't be used, and why."""
    identity = f", {gpu.uuid}" if gpu.uuid else ""
    return f"GPU {gpu.index} ({gpu.name}{identity}): {gpu.unhealthy}"


def _failing(error: pynvml.NVMLError) -> InventoryError:
    says = str(error).rstrip(".")
    return InventoryError(
        f"the NVIDIA driver is installed, but fails (NVML: {says}); see whether `nvidia-smi` works, restart the "
        f"machine after an update of the driver, {GO_WITHOUT}"
    )


def _has_nvidia_card(pci_devices: Path) -> bool:
    for vendor in pci_devices.glob("*/vendor"):
        try:
            if vendor.read_text(encoding="ascii").strip() == NVIDIA:
                return True
        except OSError:
            continue
    return False


def _scan() -> tuple[Gpu, ...]:
    found = [_card(index) for index in range(pynvml.nvmlDeviceGetCount())]
    joinable = {
        card.gpu.index: card.handle
        for card in found
        if isinstance(card, _Card) and not card.gpu.unhealthy and card.instances is None
    }
    try:
        islands, groups = nvlink_islands(joinable), pcie_groups(joinable)
    except pynvml.NVMLError:
        islands, groups = {}, {}  # a GPU fell off the bus meanwhile; the next scan says which
    devices: list[Gpu] = []
    for card in found:
        if isinstance(card, Gpu):
            devices.append(card)
        elif card.instances is None:
            index = card.gpu.index
            devices.append(replace(card.gpu, island=islands.get(index, ""), pcie_group=groups.get(index, "")))
        else:
            devices += card.instances or (replace(card.gpu, unhealthy=card.gpu.unhealthy or NO_INSTANCE),)
    return tuple(devices)


def _card(index: int) -> _Card | Gpu:
    """One GPU with all that is known of it; without a handle where it does not answer."""
    uuid, name = "", UNNAMED
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid, name = text(pynvml.nvmlDeviceGetUUID(handle)), text(pynvml.nvmlDeviceGetName(handle))
        gpu = _gpu(handle, Gpu(index, uuid, name, 0, 0, unhealthy=health_problem(handle)))
        capability = known(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
        gpu = replace(gpu, compute_capability=capability)
        mode = known(pynvml.nvmlDeviceGetMigMode, handle)
        is_cut = mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE
        return _Card(handle, gpu, tuple(_instances(handle, gpu)) if is_cut else None)
    except pynvml.NVMLError as error:
        return Gpu(index, uuid, name, 0, 0, unhealthy=words(error))


def _gpu(handle: Any, gpu: Gpu) -> Gpu:
    """With its memory and processes. A device whose memory is unknown can't be planned for."""
    memory = known(pynvml.nvmlDeviceGetMemoryInfo, handle)
    if memory is None:
        untold = "NVML does not tell its memory (it may share the machine's); declare it in an inventory file"
        return replace(gpu, unhealthy=gpu.unhealthy or untold)
    total, free = int(memory.total), int(memory.free)
    return replace(gpu, total_bytes=total, free_bytes=free, processes=_processes(handle))


def _processes(handle: Any) -> tuple[GpuProcess, ...]:
    """By pid; one that both computes and draws is listed twice by NVML, with the same bytes."""
    held: dict[int, int | None] = {}
    for call in (
        pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
    ):
        for process in known(call, handle) or ():
            held[int(process.pid)] = process.usedGpuMemory or held.get(int(process.pid))
    return tuple(GpuProcess(pid, None if used is None else int(used)) for pid, used in sorted(held.items()))


def _instances(handle: Any, parent: Gpu) -> Iterator[Gpu]:
    """The MIG instances of a GPU. Of those that share one GPU instance's memory only the first is for engines."""
    owners: dict[int, str] = {}
    for number in range(known(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        part = known(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
        if part is None:
            continue  # an empty slot
        uuid = text(pynvml.nvmlDeviceGetUUID(part))
        gpu = replace(
            parent,
            uuid=uuid,
            name=_instance_name(part, parent),
            parent=parent.uuid,
            total_bytes=0,
            free_bytes=0,
            processes=(),
        )
        gpu_instance = known(pynvml.nvmlDeviceGetGpuInstanceId, part)
        owner = uuid if gpu_instance is None else owners.setdefault(gpu_instance, uuid)
        if owner != uuid:
            gpu = replace(
                gpu, unhealthy=gpu.unhealthy or f"it shares the memory of {owner}, which is used in its place"
            )
        yield _gpu(part, gpu)


def _instance_name(handle: Any, parent: Gpu) -> str:
    """`… MIG 3g.20gb`, as newer drivers name it and as a file would declare it; made of its slices elsewhere."""
    name = text(pynvml.nvmlDeviceGetName(handle))
    slices = known(pynvml.nvmlDeviceGetAttributes_v2, handle)
    if " MIG " in name or slices is None:
        return name
    part, whole = int(slices.computeInstanceSliceCount), int(slices.gpuInstanceSliceCount)
    share = f"{part}c." if part < whole else ""
    return f"{parent.name} MIG {share}{whole}g.{ceil(int(slices.memorySizeMB) / 1024)}gb"
