"""Machines: what engines can be put on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as NVML sees it now. `index` is NVML's, which is CUDA's under CUDA_DEVICE_ORDER=PCI_BUS_ID."""

    index: int
    uuid: str
    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, or the container's share of it. `available_bytes` can be taken without swapping."""

    cpus: int
    total_bytes: int
    available_bytes: int
