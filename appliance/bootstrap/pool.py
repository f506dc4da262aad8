"""The pool of a configuration: its models from the catalog, and the options of their engines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from appliance.bootstrap.measured_skills import with_measured_skills
from appliance.catalog.loader import find, load_catalog, weights_bytes
from appliance.catalog.store import verify as verify_model
from appliance.config import PoolMember, Settings
from appliance.domain.model import Model
from appliance.domain.placement import PoolEntry


def pool_models(settings: Settings) -> Mapping[str, Model]:
    """The models of the pool by id, in the configuration's order, with skills as they were measured here.

    Raises CatalogError, and ConfigError where what was measured can't be read.
    """
    catalog = load_catalog(settings.models.catalog)
    listed = {member.model: find(catalog, member.model) for member in settings.pool}
    return with_measured_skills(listed, settings.data_dir)


def pool_entries(settings: Settings, models: Mapping[str, Model]) -> tuple[PoolEntry, ...]:
    """The entries of the pool, in the configuration's order."""
    return tuple(_entry(settings, member, models[member.model]) for member in settings.pool)


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
