"""Configuration and inventory → the solver's problem; what names something that does not exist is one clear error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from appliance.bootstrap.calibrations import calibrations_file, read_calibrations
from appliance.bootstrap.running_plan import running_plan
from appliance.bootstrap.site import Site, site_of
from appliance.catalog.architecture import geometry_from_config
from appliance.catalog.loader import find, load_catalog
from appliance.config import PoolMember, Settings
from appliance.config.placement import DEFAULT_CALLS, DEFAULT_DIRECT, PlacementModelSettings
from appliance.domain.demand import Demand, RoleDemand
from appliance.domain.model import Model
from appliance.domain.placement import PlacementPlan
from appliance.engines.version import installed_version
from appliance.errors import CatalogError, ConfigError
from appliance.placement.engine_shape import DEFAULT_VLLM_VERSION
from appliance.placement.problem import ALL_SIZES, Constraints, Problem, Wanted


def problem_of(
    settings: Settings,
    inventory: Path | None,
    before: PlacementPlan | None = None,
    *,
    site: Site | None = None,
    demand: Demand | None = None,
) -> Problem:
    """The whole problem; engines of `before` are moved as little as possible. Raises ConfigError: file, key, way out.

    `site` stands in for the inventory, `demand` for the configured one, where they are known better.

    What earlier starts of these engines measured is believed where it holds for the version of vLLM that would run.
    """
    catalog = load_catalog(settings.models.catalog)
    site = site or site_of(inventory, running_plan(settings.data_dir))
    asked = settings.placement
    roles = {role: models for role, models in settings.role_models().items() if models}
    return Problem(
        nodes=site.nodes,
        models=tuple(_wanted(settings, member, catalog, site) for member in settings.pool),
        roles=roles,
        demand=demand or _demand(settings, roles),
        constraints=Constraints(
            frozenset(asked.licences), asked.forbidden_pairs, asked.reserve_bytes, asked.turns, asked.different_families
        ),
        running=before,
        calibrations=read_calibrations(calibrations_file(settings.data_dir)),
        vllm_version=installed_version(settings.engines.python) or DEFAULT_VLLM_VERSION,
    )


def dtype_bytes(dtype: str) -> int:
    """Bytes of an element under a pool entry's `dtype`; `auto` is 16 bits in every model of the catalog."""
    return 4 if dtype == "float32" else 2


def _wanted(settings: Settings, member: PoolMember, catalog: Mapping[str, Model], site: Site) -> Wanted:
    position = [other.model for other in settings.pool].index(member.model)
    try:
        model = find(catalog, member.model)
    except CatalogError as error:
        raise ConfigError(f"{settings.source}: pool.{position}.model: {error}") from None
    model = with_geometry(model, settings.models.store / member.model)
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
        dtype_bytes=dtype_bytes(engine.dtype),
        enforce_eager=engine.enforce_eager,
        extra_args=engine.extra_args,
    )
    return _pinned(settings, wanted, limits, (f"pool.{position}.engine.gpu_ids", engine.gpu_ids), site)


def with_geometry(model: Model, directory: Path) -> Model:
    """A manifest without a shape takes it from the model's own files, where they are here."""
    if model.geometry is not None:
        return model
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        return replace(model, geometry=geometry_from_config(config, model.parameters))
    except (OSError, ValueError, CatalogError):
        return model


def _pinned(
    settings: Settings,
    wanted: Wanted,
    limits: PlacementModelSettings,
    pool_pins: tuple[str, tuple[str, ...]],
    site: Site,
) -> Wanted:
    """With its pins; each must exist, and be able to hold one engine of an allowed size."""
    key, pins = pool_pins if pool_pins[1] else (f"placement.models.{wanted.model_id}.gpus", limits.gpus)
    for name in limits.nodes:
        if name not in {node.name for node in site.nodes}:
            raise ConfigError(
                f"{settings.source}: placement.models.{wanted.model_id}.nodes: there is no node {name} in {site.name}; "
                f"name one of {', '.join(node.name for node in site.nodes)}"
            )
    found: set[tuple[str, str]] = set()
    for pin in pins:
        keys = site.gpus_named(pin)
        if not keys:
            some = ", ".join("/".join(k) for k in sorted(site.gpus)[:8])
            out = "".join(f" (left out: {line})" for line in site.left_out)
            raise ConfigError(
                f"{settings.source}: {key}: there is no GPU {pin} in {site.name}{out}; name one of {some}"
            )
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
