"""Nodes and their accelerators, as NVML found them or as a file declares them."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.domain.gpu import Card


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device for engines: a whole GPU, or one MIG instance, which is a device of its own.

    `gpu_id` is an index or UUID as CUDA_VISIBLE_DEVICES takes it, unique on its node. GPUs with equal `island` are
    joined by NVLink (empty: PCIe only). `used_bytes` are taken by processes of others. `parent` is the GPU that a MIG
    instance was cut from. Speeds of 0 are looked up by `name`.
    """

    gpu_id: str
    name: str
    total_bytes: int
    used_bytes: int = 0
    island: str = ""
    parent: str = ""
    bandwidth_bytes_s: float = 0.0
    flops: float = 0.0

    @property
    def card(self) -> Card:
        """What the memory model knows it by."""
        return Card(self.name, self.total_bytes)


@dataclass(frozen=True, slots=True)
class Node:
    """One machine. `host_bytes` can hold the weights of sleeping engines, `data_classes` is what may be processed.

    `left_out` are devices that no engine can be put on, each as a sentence that says why.
    """

    name: str
    accelerators: tuple[Accelerator, ...]
    host_bytes: int = 0
    data_classes: frozenset[str] = field(default_factory=frozenset)
    left_out: tuple[str, ...] = ()
