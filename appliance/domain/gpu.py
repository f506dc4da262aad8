"""Machines: what engines can be put on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory of a device. `used_bytes` is None where NVML does not tell (in a container, say)."""

    pid: int
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class Card:
    """A kind of card: its product name and its whole memory, as NVML and the CUDA driver report it."""

    name: str
    total_bytes: int

    @property
    def is_rocm(self) -> bool:
        """AMD cards have no FlashInfer, so vLLM samples with PyTorch alone."""
        return "MI2" in self.name or "MI3" in self.name or self.name.startswith("AMD")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, or one MIG instance, which is a device of its own, as NVML sees it now.

    `index` is NVML's, which is CUDA's under CUDA_DEVICE_ORDER=PCI_BUS_ID; an instance has its GPU's, and `parent` is
    that GPU's UUID. `compute_capability` is (major, minor), None where unknown. GPUs with equal `island` are joined by
    NVLink (empty: not), those with equal `pcie_group` hang at the same socket (empty: unknown). `processes` hold
    memory of it. `unhealthy` says why no engine can be put on it; empty: one can.
    """

    index: int
    uuid: str
    name: str
    total_bytes: int
    free_bytes: int
    compute_capability: tuple[int, int] | None = None
    island: str = ""
    pcie_group: str = ""
    parent: str = ""
    processes: tuple[GpuProcess, ...] = ()
    unhealthy: str = ""

    @property
    def card(self) -> Card:
        """What the memory model knows it by."""
        return Card(self.name, self.total_bytes)

    def others_bytes(self, own_pids: Collection[int] = ()) -> int:
        """What is taken by others than `own_pids`; memory that NVML does not give to a process is taken by others."""
        own = sum(process.used_bytes or 0 for process in self.processes if process.pid in own_pids)
        return max(0, self.total_bytes - self.free_bytes - own)


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, or the container's share of it. `available_bytes` can be taken without swapping."""

    cpus: int
    total_bytes: int
    available_bytes: int
