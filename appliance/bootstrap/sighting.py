"""A look at this machine while engines run on it: its GPUs, what others hold of them, what engines take."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from appliance.bootstrap.running_plan import others_bytes
from appliance.bootstrap.site import Site
from appliance.domain.engine import LOCAL_NODE, EngineState
from appliance.domain.fleet import Fleet
from appliance.domain.gpu import Gpu
from appliance.domain.placement import PlacementPlan
from appliance.engines.processes import group_members
from appliance.inventory.host import read_host
from appliance.inventory.local import local_node
from appliance.inventory.nvml import scan_gpus
from appliance.placement.trouble import Seen


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen, for decisions; and the machine as a place for engines."""

    seen: Seen
    site: Site


def sight(plan: PlacementPlan, fleet: Fleet) -> Sighting:
    """Blocks. Raises InventoryError where the driver fails, or where there are GPUs but none can be used."""
    gpus = scan_gpus()
    engines = fleet.snapshot.engines
    own_pids = frozenset(pid for engine in engines if engine.pid for pid in group_members(engine.pid))
    usable = {gpu.uuid: _others_bytes(gpu, own_pids, plan) for gpu in gpus if not gpu.unhealthy}
    measured = {
        engine.engine_id: size
        for engine in engines
        if engine.state in {EngineState.READY, EngineState.ASLEEP}
        and (size := fleet.figures_of(engine.engine_id).measured_bytes) is not None
    }
    asleep = frozenset(engine.engine_id for engine in engines if engine.state is EngineState.ASLEEP)
    seen = Seen(usable, {gpu.uuid: gpu.unhealthy for gpu in gpus if gpu.unhealthy}, measured, asleep)
    return Sighting(seen, _site(gpus, usable, plan, asleep))


def _others_bytes(gpu: Gpu, own_pids: Collection[int], plan: PlacementPlan) -> int:
    """Exact where NVML knows our processes; else what the plan leaves unexplained."""
    mine = [process for process in gpu.processes if process.pid in own_pids]
    if mine and all(process.used_bytes is not None for process in mine):
        return gpu.others_bytes(own_pids)
    return others_bytes(gpu, plan)


def _site(gpus: tuple[Gpu, ...], usable: dict[str, int], plan: PlacementPlan, asleep: Collection[str]) -> Site:
    host = read_host()
    # The weights of those that sleep are in the machine's memory already; they must not be counted once more.
    held = sum(e.weights_bytes * len(e.gpu_ids) for e in plan.engines if e.engine_id in asleep)
    host = replace(host, available_bytes=host.available_bytes + held)
    node = local_node(gpus, host, others_bytes=lambda gpu: usable[gpu.uuid])
    gone = tuple((LOCAL_NODE, gpu.gpu_id) for gpu in plan.gpus if gpu.gpu_id not in usable)
    return Site((node,), "this machine", {gpu.uuid: str(gpu.index) for gpu in gpus if gpu.uuid}, gone)
