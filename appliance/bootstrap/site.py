"""Where engines may be put: declared nodes, or this machine; and what a configuration means by the name of a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from appliance.bootstrap.running_plan import others_bytes
from appliance.domain.node import Node
from appliance.domain.placement import PlacementPlan
from appliance.errors import ConfigError
from appliance.inventory.declared import load_inventory
from appliance.inventory.host import read_host
from appliance.inventory.local import local_node
from appliance.inventory.nvml import scan_gpus

GpuKey = tuple[str, str]
"""Node and GPU id."""


@dataclass(frozen=True, slots=True)
class Site:
    """Nodes and how to speak of them.

    `indices` are further names of GPUs: NVML's index, where ids are UUIDs. `gone` are GPUs that pins may still mean,
    although no engine can be put on them now.
    """

    nodes: tuple[Node, ...]
    name: str
    indices: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[GpuKey, ...] = ()

    def gpus_named(self, pin: str) -> frozenset[GpuKey]:
        """The GPUs that a pin means: `node/id`, or `id` where there is one node; of a GPU cut by MIG all instances."""
        node, _, gpu = pin.rpartition("/")
        if not node and len(self.nodes) > 1:
            return frozenset()
        return frozenset(
            key
            for key in (*self.gpus, *self.gone)
            if key[0] == (node or key[0]) and gpu in {key[1], self.indices.get(key[1])}
        )

    @property
    def gpus(self) -> tuple[GpuKey, ...]:
        """All of them."""
        return tuple((node.name, device.gpu_id) for node in self.nodes for device in node.accelerators)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Devices that no engine can be put on, each with the reason."""
        return tuple(line for node in self.nodes for line in node.left_out)


def site_of(inventory: Path | None, running: PlacementPlan | None = None) -> Site:
    """Declared nodes, or this machine's GPUs as NVML sees them, without what the engines of `running` hold of them.

    Raises ConfigError and InventoryError.
    """
    if inventory is not None:
        return Site(load_inventory(inventory), str(inventory))
    gpus = scan_gpus()
    if not gpus:
        raise ConfigError(
            "no NVIDIA GPU was found here; name an inventory with --inventory FILE (see config/inventories)"
        )
    node = local_node(gpus, read_host(), others_bytes=lambda gpu: others_bytes(gpu, running))
    return Site((node,), "this machine", {gpu.uuid: str(gpu.index) for gpu in gpus})
