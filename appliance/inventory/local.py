"""This machine as a node."""

from __future__ import annotations

from collections.abc import Callable

from appliance.domain.engine import LOCAL_NODE
from appliance.domain.gpu import Gpu, Host
from appliance.domain.node import Accelerator, Node
from appliance.inventory.nvml import healthy, unhealthy_line


def local_node(
    gpus: tuple[Gpu, ...], host: Host, *, others_bytes: Callable[[Gpu], int] = Gpu.others_bytes, name: str = LOCAL_NODE
) -> Node:
    """The node with the healthy devices of `gpus`; `left_out` says which others there are, and why.

    `others_bytes` tells what of a device engines can't have; where own engines run, give
    `lambda gpu: gpu.others_bytes(own_pids)` with the pids of their processes, children included. Devices at one socket
    stand together, so that blocks of neighbours do not cross sockets. Raises InventoryError where all are unhealthy.
    """
    usable = healthy(gpus)
    order = list(dict.fromkeys(gpu.pcie_group for gpu in usable))
    devices = tuple(
        Accelerator(gpu.uuid, gpu.name, gpu.total_bytes, others_bytes(gpu), gpu.island, gpu.parent)
        for gpu in sorted(usable, key=lambda gpu: order.index(gpu.pcie_group))
    )
    left_out = tuple(unhealthy_line(gpu) for gpu in gpus if gpu.unhealthy)
    return Node(name, devices, host.available_bytes, left_out=left_out)
