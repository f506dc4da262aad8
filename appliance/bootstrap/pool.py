"""The pool of a configuration: its models from the catalog, its engines on this machine's devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from appliance.catalog.loader import find, load_catalog, weights_bytes
from appliance.catalog.store import verify as verify_model
from appliance.config import PoolMember, Settings
from appliance.domain.engine import Device, EngineSpec
from appliance.domain.model import Model
from appliance.domain.placement import PoolEntry, Unplaceable
from appliance.errors import ConfigError
from appliance.inventory.host import read_host
from appliance.inventory.nvml import list_gpus
from appliance.placement.declared import place


def pool_models(settings: Settings) -> Mapping[str, Model]:
    """The models of the pool by id, in the configuration's order. Raises CatalogError."""
    catalog = load_catalog(settings.models.catalog)
    return {member.model: find(catalog, member.model) for member in settings.pool}


def engine_count(settings: Settings) -> int:
    """Engines of the whole pool."""
    return sum(member.replicas for member in settings.pool)


def engine_specs(settings: Settings, models: Mapping[str, Model], ports: Sequence[int]) -> tuple[EngineSpec, ...]:
    """The engines of the pool, on `ports`. Raises ConfigError with all reasons why they can't be placed."""
    wanted = settings.engines.device
    gpus = () if wanted == "cpu" else list_gpus()
    device = Device.CUDA if wanted == "cuda" or (wanted == "auto" and gpus) else Device.CPU
    entries = [_entry(settings, member, models[member.model]) for member in settings.pool]
    placed = place(entries, device, ports, read_host(), gpus)
    if isinstance(placed, Unplaceable):
        raise ConfigError(f"{settings.source}: the pool can't be placed: {'; '.join(placed.reasons)}")
    return placed


def verify(settings: Settings, models: Mapping[str, Model]) -> None:
    """Check the weights of every model of the pool on disk; blocks. Raises CatalogError."""
    for model_id, model in models.items():
        verify_model(model, settings.models.store / model_id, digests=settings.models.verify_digests)


def _entry(settings: Settings, member: PoolMember, model: Model) -> PoolEntry:
    return PoolEntry(
        model=model,
        model_path=PurePath(settings.models.store.resolve() / model.model_id),
        weights_bytes=weights_bytes(model),
        replicas=member.replicas,
        **member.engine.model_dump(),
    )
