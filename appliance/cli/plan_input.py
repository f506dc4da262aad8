"""Configuration and inventory → the solver's problem; what names something that does not exist is one clear error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from appliance.catalog.loader import find, load_catalog
from appliance.config import PoolMember, Settings, describe
from appliance.domain.demand import Demand, RoleDemand
from appliance.domain.model import Model
from appliance.domain.node import Accelerator, Node
from appliance.domain.placement import PlacementPlan
from appliance.domain.placement_settings import DEFAULT_CALLS, DEFAULT_DIRECT, PlacementModelSettings
from appliance.errors import CatalogError, ConfigError
from appliance.inventory.declared import load_inventory
from appliance.inventory.host import read_host
from appliance.inventory.nvml import list_gpus
from appliance.placement.problem import ALL_SIZES, Constraints, Problem, Wanted

LOCAL = "local"


def problem_of(settings: Settings, inventory: Path | None, running: PlacementPlan | None = None) -> Problem:
    """The whole problem. Raises ConfigError that names file, key and way out."""
    catalog = load_catalog(settings.models.catalog)
    nodes = nodes_of(inventory)
    asked = settings.placement
    roles = {role: models for role, models in settings.role_models().items() if models}
    return Problem(
        nodes=nodes,
        models=tuple(_wanted(settings, member, catalog, nodes, inventory) for member in settings.pool),
        roles=roles,
        demand=_demand(settings, roles),
        constraints=Constraints(
            frozenset(asked.licences), asked.forbidden_pairs, asked.reserve_bytes, asked.turns, asked.different_families
        ),
        running=running,
    )


def nodes_of(inventory: Path | None) -> tuple[Node, ...]:
    """Declared nodes, or this machine's GPUs as NVML sees them."""
    if inventory is not None:
        return load_inventory(inventory)
    gpus = list_gpus()
    if not gpus:
        raise ConfigError(
            "no NVIDIA GPU was found here; name an inventory with --inventory FILE (see config/inventories)"
        )
    devices = tuple(Accelerator(gpu.uuid, gpu.name, gpu.total_bytes, gpu.total_bytes - gpu.free_bytes) for gpu in gpus)
    return (Node(LOCAL, devices, read_host().available_bytes),)


def load_plan(path: Path) -> PlacementPlan:
    """A plan saved by `appliance plan --json`. Raises ConfigError."""
    try:
        return TypeAdapter(PlacementPlan).validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: can't be read: {error.strerror}; save a plan with `appliance plan --json`"
        ) from None
    except ValidationError as error:
        raise ConfigError(
            f"{path}: is no saved plan: {describe(error)}; save one with `appliance plan --json`"
        ) from None


def _wanted(
    settings: Settings, member: PoolMember, catalog: Mapping[str, Model], nodes: Sequence[Node], inventory: Path | None
) -> Wanted:
    position = [other.model for other in settings.pool].index(member.model)
    try:
        model = find(catalog, member.model)
    except CatalogError as error:
        raise ConfigError(f"{settings.source}: pool.{position}.model: {error}") from None
    engine, limits = member.engine, settings.placement.models.get(member.model, PlacementModelSettings())
    if engine.max_model_len > model.context_tokens:
        raise ConfigError(
            f"{settings.source}: pool.{position}.engine.max_model_len: {engine.max_model_len} is more than the context "
            f"of {member.model}; set it to {model.context_tokens} or less"
        )
    least = member.replicas if limits.replicas_min is None else limits.replicas_min
    wanted = Wanted(
        model=model,
        max_model_len=engine.max_model_len,
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        least_kv_bytes=engine.kv_cache_memory_bytes,
        replicas_min=least,
        replicas_max=max(least, limits.replicas_max),
        tensor_parallel_sizes=(
            (engine.tensor_parallel_size,) if engine.tensor_parallel_size > 1 else limits.tensor_parallel_sizes
        ),
        data_class=limits.data_class or settings.placement.data_class or "",
        may_sleep=limits.may_sleep,
        enforce_eager=engine.enforce_eager,
    )
    return _pinned(settings, wanted, limits, (f"pool.{position}.engine.gpu_ids", engine.gpu_ids), nodes, inventory)


def _pinned(
    settings: Settings,
    wanted: Wanted,
    limits: PlacementModelSettings,
    pool_pins: tuple[str, tuple[str, ...]],
    nodes: Sequence[Node],
    inventory: Path | None,
) -> Wanted:
    """With its pins; each must exist, and be able to hold one engine of an allowed size."""
    key, pins = pool_pins if pool_pins[1] else (f"placement.models.{wanted.model_id}.gpus", limits.gpus)
    where = inventory or "this machine"
    for name in limits.nodes:
        if name not in {node.name for node in nodes}:
            raise ConfigError(
                f"{settings.source}: placement.models.{wanted.model_id}.nodes: there is no node {name} in {where}; "
                f"name one of {', '.join(node.name for node in nodes)}"
            )
    known = {(node.name, device.gpu_id) for node in nodes for device in node.accelerators}
    found = set()
    for pin in pins:
        keys = [k for k in known if pin == "/".join(k) or (pin == k[1] and len(nodes) == 1)]
        if not keys:
            some = ", ".join("/".join(k) for k in sorted(known)[:8])
            raise ConfigError(f"{settings.source}: {key}: there is no GPU {pin} in {where}; name one of {some}")
        found.update(keys)
    if found and min(wanted.tensor_parallel_sizes) > len(found):
        raise ConfigError(
            f"{settings.source}: {key}: pins {wanted.model_id} to {len(found)} GPUs, but its smallest "
            f"tensor_parallel_size is {min(wanted.tensor_parallel_sizes)}; pin it to more, or allow one of {ALL_SIZES}"
        )
    if found and limits.nodes and not any(node in limits.nodes for node, _ in found):
        raise ConfigError(
            f"{settings.source}: {key}: the pinned GPUs are on none of placement.models.{wanted.model_id}.nodes; "
            "drop one of the two pins"
        )
    return replace(wanted, gpus=frozenset(found), nodes=frozenset(limits.nodes))


def _demand(settings: Settings, roles: Mapping[str, tuple[str, ...]]) -> Demand:
    """Calls as configured; where none are, a common pattern for the roles that are played."""
    asked = settings.placement
    if asked.calls:
        calls = {
            role: RoleDemand(c.calls, c.prompt_tokens, c.completion_tokens) for role, c in sorted(asked.calls.items())
        }
    elif "planner" in roles:
        calls = {role: DEFAULT_CALLS[role.split(".")[0]] for role in roles if role.split(".")[0] in DEFAULT_CALLS}
    else:
        calls = {"generalist": DEFAULT_DIRECT}
    return Demand(tuple(calls.items()), asked.requests_per_s)
