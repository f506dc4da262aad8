"""What `up` starts: the engines of the placement plan on GPUs, those of the pool as it stands elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from appliance.bootstrap.calibrations import calibrations_file, read_calibrations
from appliance.bootstrap.planning import dtype_bytes, problem_of, with_geometry
from appliance.bootstrap.pool import pool_entries, pool_models
from appliance.config import Settings
from appliance.domain.engine import Device, EngineSpec
from appliance.domain.gpu import Gpu
from appliance.domain.model import Model
from appliance.domain.placement import PlacementPlan, PoolEntry, Unplaceable
from appliance.engines.processes import end_leftovers
from appliance.engines.version import installed_version
from appliance.errors import ConfigError
from appliance.inventory.host import read_host
from appliance.inventory.nvml import list_gpus
from appliance.placement.calibration import Calibration, CalibrationKey, calibration_key
from appliance.placement.declared import cpu_engine_bytes, place
from appliance.placement.engine_shape import DEFAULT_VLLM_VERSION, Card, EngineShape
from appliance.placement.measured import cpu_bytes
from appliance.placement.planned import planned_specs

CPU_CARD = Card("CPU", 0)
"""Stands in a calibration's key where there is no card."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """The decision, before its engines have ports.

    `settings` are the configuration as it is carried out: without models that the plan left out, with the models of
    each role in the plan's order. `plan` is None where the pool is followed. `cards` are the GPUs by id, `notes` what
    the operator should know.
    """

    settings: Settings
    models: Mapping[str, Model]
    entries: tuple[PoolEntry, ...]
    device: Device
    gpus: tuple[Gpu, ...]
    cards: Mapping[str, Card]
    plan: PlacementPlan | None = None
    notes: tuple[str, ...] = ()

    @property
    def engine_count(self) -> int:
        """Engines that will run, each on a port."""
        return sum(entry.replicas for entry in self.entries) if self.plan is None else len(self.plan.engines)

    def entry(self, model_id: str) -> PoolEntry:
        """The pool's entry of a model."""
        return next(entry for entry in self.entries if entry.model.model_id == model_id)

    def specs(self, ports: Sequence[int]) -> tuple[EngineSpec, ...]:
        """The engines on `ports`. Raises ConfigError with all reasons why the pool can't be placed."""
        if self.plan is not None:
            return planned_specs(self.plan, {entry.model.model_id: entry for entry in self.entries}, ports)
        placed = place(self.entries, self.device, ports, read_host(), self.gpus)
        if isinstance(placed, Unplaceable):
            raise ConfigError(f"{self.settings.source}: the pool can't be placed: {placed}")
        return placed

    def planned_bytes(self, spec: EngineSpec) -> int | None:
        """What the engine should take at most, per GPU; None where nobody reckoned it."""
        if self.plan is not None:
            return next(e.booked_bytes for e in self.plan.engines if e.engine_id == spec.engine_id)
        return cpu_engine_bytes(self.entry(spec.model_id)) if spec.device is Device.CPU else None


def decide(settings: Settings) -> Lineup:
    """Plan for this machine where the settings say so, and solve. Raises ConfigError and CatalogError."""
    models = pool_models(settings)
    wanted = settings.engines.device
    gpus = () if wanted == "cpu" else list_gpus()
    device = Device.CUDA if wanted == "cuda" or (wanted == "auto" and gpus) else Device.CPU
    if device is Device.CUDA and gpus and settings.placement.follow == "plan":
        return _planned(settings, models, gpus)
    entries = pool_entries(settings, models)
    if device is Device.CPU:
        kept = read_calibrations(calibrations_file(settings.data_dir))
        version = installed_version(settings.engines.python)
        entries = tuple(_with_measured(entry, version, kept) for entry in entries)
    cards = {gpu.uuid: Card(gpu.name, gpu.total_bytes) for gpu in gpus}
    return Lineup(settings, models, entries, device, gpus, cards)


def start_shape(entry: PoolEntry, ranks: int, vllm_version: str, max_num_seqs: int | None = None) -> EngineShape:
    """An engine of `entry` as the memory model wants it; `max_num_seqs` where fewer were started than asked for."""
    return EngineShape(
        max_model_len=entry.max_model_len,
        tensor_parallel_size=ranks,
        max_num_seqs=max_num_seqs or entry.max_num_seqs,
        max_num_batched_tokens=entry.max_num_batched_tokens,
        quantization=entry.model.quantization,
        dtype_bytes=dtype_bytes(entry.dtype),
        enforce_eager=entry.enforce_eager,
        vllm_version=vllm_version,
    )


def start_key(entry: PoolEntry, shape: EngineShape, card: Card) -> CalibrationKey:
    """The key under which a start is kept, and looked up by the next plan."""
    return calibration_key(entry.model.model_id, entry.model.revision, shape, card, entry.extra_args)


def _planned(settings: Settings, models: Mapping[str, Model], gpus: tuple[Gpu, ...]) -> Lineup:
    # What a killed appliance left on the GPUs would count as memory of others.
    ended = end_leftovers(settings.data_dir.resolve() / "engines")
    from appliance.placement.solver import solve  # OR-tools takes half a second to load, which the CPU need not pay

    problem = problem_of(settings, None)
    out = tuple(line for node in problem.nodes for line in node.left_out)
    plan = solve(problem)
    if isinstance(plan, Unplaceable):
        raise ConfigError(
            f"{settings.source}: the pool can't be placed on this machine's GPUs: {'; '.join((*plan.reasons, *out))}; "
            "`appliance plan` shows more, and placement.follow: pool starts the pool as it stands"
        )
    carried_out = _carried_out(settings, plan)
    served = {m.model: with_geometry(models[m.model], settings.models.store / m.model) for m in carried_out.pool}
    return Lineup(
        carried_out,
        served,
        pool_entries(carried_out, served),
        Device.CUDA,
        gpus,
        {gpu.gpu_id: Card(gpu.name, gpu.total_bytes) for gpu in plan.gpus},
        plan,
        (*(f"ended a leftover engine: {engine_id}" for engine_id in ended), *out, *plan.reasons),
    )


def _carried_out(settings: Settings, plan: PlacementPlan) -> Settings:
    """The settings without models that have no engine, roles in the plan's order."""
    served = {engine.model_id for engine in plan.engines}
    ordered = {role: _served(models, served) for role, models in plan.roles}
    executors = {
        skill: ordered.get(f"executors.{skill}", _served(models, served))
        for skill, models in settings.roles.executors.items()
    }
    played = {
        role: ordered.get(role, _served(getattr(settings.roles, role), served))
        for role in ("planner", "verifier", "synthesizer", "generalist")
    }
    roles = settings.roles.model_copy(update={**played, "executors": executors})
    pool = tuple(member for member in settings.pool if member.model in served)
    return settings.model_copy(update={"pool": pool, "roles": roles})


def _served(models: Iterable[str], served: set[str]) -> tuple[str, ...]:
    return tuple(model for model in models if model in served)


def _with_measured(entry: PoolEntry, version: str | None, kept: Mapping[CalibrationKey, Calibration]) -> PoolEntry:
    """With what the same engine took at an earlier start on the CPU."""
    key = start_key(entry, start_shape(entry, entry.tensor_parallel_size, version or DEFAULT_VLLM_VERSION), CPU_CARD)
    found = kept.get(key)
    return entry if found is None else replace(entry, measured_bytes=cpu_bytes(found, entry.kv_cache_memory_bytes))
