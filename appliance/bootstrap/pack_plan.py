"""A plan in a file → the engines of one of its packs, on the GPUs that are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from appliance.bootstrap.lineup import Lineup
from appliance.bootstrap.planning import with_geometry
from appliance.bootstrap.pool import pool_entries, pool_models
from appliance.config import Settings, describe
from appliance.domain.engine import Device
from appliance.domain.gpu import Gpu
from appliance.domain.placement import Pack, PlacementPlan, PlannedEngine, PlannedGpu, TurnGroup
from appliance.errors import ConfigError
from appliance.inventory.nvml import list_gpus

_SMALLER = 0.97
"""Cards of one kind differ by a few MB."""


class _EngineValues(BaseModel):
    """An engine in the chart's values, as `appliance plan --helm-values` writes it."""

    model_config = ConfigDict(extra="forbid")

    id: str
    model: str
    gpu_ids: tuple[str, ...]
    tensor_parallel_size: int
    kv_cache_memory_bytes: int
    gpu_memory_utilization: float
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    enable_sleep_mode: bool = False
    pipeline_parallel_size: int = 1


class _PackValues(BaseModel):
    """The chart adds keys of its own to a pack."""

    name: str
    node: str
    gpu_ids: tuple[str, ...]
    engines: tuple[_EngineValues, ...]


class _TurnValues(BaseModel):
    name: str
    engines: tuple[str, ...]


class _Values(BaseModel):
    packs: tuple[_PackValues, ...]
    turn_groups: tuple[_TurnValues, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedPlan:
    """A plan whose packs have names, in the plan's order."""

    plan: PlacementPlan
    names: tuple[str, ...]


def lineup_of(settings: Settings, file: Path, pack: str | None) -> Lineup:
    """What `appliance engines --plan FILE --pack PACK` runs here. Raises ConfigError, CatalogError, InventoryError."""
    models = pool_models(settings)
    plan = only(read_plan(file), pack, str(file))
    for engine in plan.engines:
        if engine.model_id not in models:
            raise ConfigError(f"{file}: {engine.engine_id}: {engine.model_id} is not in the pool of {settings.source}")
    gpus = list_gpus()
    plan = on_gpus(plan, gpus, str(file))
    shaped = {model_id: with_geometry(model, settings.models.store / model_id) for model_id, model in models.items()}
    return Lineup(settings, shaped, pool_entries(settings, shaped), Device.CUDA, gpus, {}).by(plan)


def read_plan(file: Path) -> NamedPlan:
    """A plan as `appliance plan` prints it with --json or --helm-values. Raises ConfigError."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: can't be read: {getattr(error, 'strerror', error)}") from None
    except yaml.YAMLError:
        raise ConfigError(f"{file}: neither JSON nor YAML") from None
    try:
        if isinstance(document, dict) and "engines" in document:
            plan = TypeAdapter(PlacementPlan).validate_python(document)
            return NamedPlan(plan, tuple(f"pack-{number}" for number in range(len(plan.packs))))
        return _from_values(_Values.model_validate(document))
    except ValidationError as error:
        raise ConfigError(
            f"{file}: no plan: {describe(error)}; write one with `appliance plan --helm-values` or --json"
        ) from None


def only(named: NamedPlan, pack: str | None, source: str) -> PlacementPlan:
    """The plan without all other packs. Raises ConfigError where it is not clear which one is meant."""
    plan, names = named.plan, named.names
    if pack is None and len(names) != 1:
        raise ConfigError(f"{source}: holds {len(names)} packs; name one with --pack: {', '.join(names)}")
    if pack is not None and names.count(pack) != 1:
        raise ConfigError(f"{source}: there is no pack {pack}; --pack takes one of {', '.join(names)}")
    found = plan.packs[names.index(pack) if pack is not None else 0]
    return replace(
        plan,
        engines=tuple(engine for engine in plan.engines if engine.engine_id in found.engine_ids),
        gpus=tuple(gpu for gpu in plan.gpus if gpu.node == found.node and gpu.gpu_id in found.gpu_ids),
        packs=(found,),
        turns=tuple(turn for turn in plan.turns if set(turn.engine_ids) <= set(found.engine_ids)),
    )


def on_gpus(plan: PlacementPlan, gpus: Sequence[Gpu], source: str) -> PlacementPlan:
    """A plan of one pack with the ids of the GPUs that are here.

    1. Where all GPUs of the pack are here by UUID or index, they are meant.
    2. Else the n-th GPU of the pack is the n-th that is here: a pod sees its own GPUs only, and counts them anew.

    Raises ConfigError where there are too few, or smaller ones than were planned for.
    """
    pack = plan.packs[0]
    here = {name: gpu for gpu in gpus if not gpu.parent for name in (str(gpu.index), gpu.uuid)}
    here |= {gpu.uuid: gpu for gpu in gpus}
    if all(gpu_id in here for gpu_id in pack.gpu_ids):
        found = {gpu_id: here[gpu_id] for gpu_id in pack.gpu_ids}
    elif len(gpus) >= len(pack.gpu_ids):
        found = dict(zip(pack.gpu_ids, gpus, strict=False))
    else:
        raise ConfigError(f"{source}: the pack needs {len(pack.gpu_ids)} GPUs, but there are {len(gpus)} here")
    for planned in plan.gpus:
        gpu = found[planned.gpu_id]
        if gpu.total_bytes < _SMALLER * planned.total_bytes:
            raise ConfigError(
                f"{source}: GPU {planned.gpu_id} is planned as {planned.name} with {planned.total_bytes} bytes, but "
                f"the one here is {gpu.name} with {gpu.total_bytes}; plan again, or put the pack elsewhere"
            )
    ids = {gpu_id: gpu.uuid for gpu_id, gpu in found.items()}
    return replace(
        plan,
        engines=tuple(replace(e, gpu_ids=tuple(ids[gpu_id] for gpu_id in e.gpu_ids)) for e in plan.engines),
        gpus=tuple(_planned_gpu(pack.node, gpu) for gpu in found.values()),
        packs=(replace(pack, gpu_ids=tuple(ids.values())),),
        turns=tuple(replace(t, gpu_ids=tuple(ids[gpu_id] for gpu_id in t.gpu_ids)) for t in plan.turns),
    )


def _planned_gpu(node: str, gpu: Gpu) -> PlannedGpu:
    return PlannedGpu(node, gpu.uuid, gpu.name, gpu.total_bytes, gpu.total_bytes - gpu.free_bytes, 0)


def _from_values(values: _Values) -> NamedPlan:
    """The chart's values leave out what only explains a plan: those figures are 0, which stands for not known."""
    turns = {engine_id: turn.name for turn in values.turn_groups for engine_id in turn.engines}
    engines = tuple(_engine(engine, pack.node, turns) for pack in values.packs for engine in pack.engines)
    packs = tuple(Pack(p.node, p.gpu_ids, tuple(engine.id for engine in p.engines)) for p in values.packs)
    of = {engine.engine_id: engine for engine in engines}
    groups = tuple(
        TurnGroup(t.name, of[t.engines[0]].node, of[t.engines[0]].gpu_ids, t.engines)
        for t in values.turn_groups
        if set(t.engines) <= of.keys()
    )
    plan = PlacementPlan(engines, (), packs, groups, (), None, None, None, "", "given", ())
    return NamedPlan(plan, tuple(pack.name for pack in values.packs))


def _engine(said: _EngineValues, node: str, turns: Mapping[str, str]) -> PlannedEngine:
    return PlannedEngine(
        engine_id=said.id,
        model_id=said.model,
        node=node,
        gpu_ids=said.gpu_ids,
        tensor_parallel_size=said.tensor_parallel_size,
        kv_cache_memory_bytes=said.kv_cache_memory_bytes,
        max_model_len=said.max_model_len,
        max_num_seqs=said.max_num_seqs,
        max_num_batched_tokens=said.max_num_batched_tokens,
        gpu_memory_utilization=said.gpu_memory_utilization,
        booked_bytes=0,
        weights_bytes=0,
        kv_tokens=0,
        requests_per_s=0.0,
        share=0.0,
        turn_group=turns.get(said.id, ""),
        pipeline_parallel_size=said.pipeline_parallel_size,
    )
