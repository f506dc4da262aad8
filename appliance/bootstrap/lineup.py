"""What `up` starts: the engines of the placement plan on GPUs, those of the pool as it stands elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from appliance.bootstrap.calibrations import calibrations_file, read_calibrations
from appliance.bootstrap.planning import dtype_bytes, problem_of, with_geometry
from appliance.bootstrap.pool import pool_entries, pool_models
from appliance.config import Settings
from appliance.domain import engine_args
from appliance.domain.demand import Demand
from appliance.domain.engine import Device, EngineSpec
from appliance.domain.gpu import Card, Gpu
from appliance.domain.model import Model
from appliance.domain.placement import PlacementPlan, PoolEntry, Unplaceable
from appliance.engines.processes import end_leftovers
from appliance.engines.version import OLDEST, installed_version, too_old
from appliance.errors import ConfigError
from appliance.inventory.host import read_host
from appliance.inventory.nvml import list_gpus
from appliance.placement.calibration import Calibration, CalibrationKey, calibration_key
from appliance.placement.declared import cpu_engine_bytes, place
from appliance.placement.engine_shape import DEFAULT_VLLM_VERSION, EngineShape
from appliance.placement.measured import cpu_bytes
from appliance.placement.planned import planned_specs

CPU_CARD = Card("CPU", 0)
"""Stands in a calibration's key where there is no card."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """The decision, before its engines have ports.

    `settings` are the configuration with the models of each role in the plan's order, those without an engine last.
    `models` and `entries` are the pool's. `plan` is None where the pool is followed, else made for `demand`. `cards`
    are the GPUs by id, `notes` what the operator should know.
    """

    settings: Settings
    models: Mapping[str, Model]
    entries: tuple[PoolEntry, ...]
    device: Device
    gpus: tuple[Gpu, ...]
    cards: Mapping[str, Card]
    plan: PlacementPlan | None = None
    demand: Demand = field(default_factory=Demand)
    notes: tuple[str, ...] = ()

    @property
    def engine_ids(self) -> tuple[str, ...]:
        """Engines that will run, each on a port."""
        if self.plan is not None:
            return tuple(engine.engine_id for engine in self.plan.engines)
        return tuple(f"{entry.model.model_id}-{n}" for entry in self.entries for n in range(entry.replicas))

    @property
    def served(self) -> Mapping[str, Model]:
        """The models that have an engine."""
        if self.plan is None:
            return self.models
        placed = {engine.model_id for engine in self.plan.engines}
        return {model_id: model for model_id, model in self.models.items() if model_id in placed}

    def by(self, plan: PlacementPlan) -> Lineup:
        """The same pool by another plan."""
        return replace(self, plan=plan, cards={**self.cards, **_cards(plan)})

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
            return next(e.booked_bytes for e in self.plan.engines if e.engine_id == spec.engine_id) or None
        return cpu_engine_bytes(self.entry(spec.model_id)) if spec.device is Device.CPU else None


def decide(settings: Settings) -> Lineup:
    """Plan for this machine where the settings say so, and solve. Raises ConfigError and CatalogError."""
    models, python = pool_models(settings), settings.engines.python
    if (version := installed_version(python)) is not None and too_old(version):
        oldest = ".".join(map(str, OLDEST))
        raise ConfigError(
            f"engines.python: {python} has vLLM {version}, which has known holes; install {oldest} or later"
        )
    wanted = settings.engines.device
    gpus = () if wanted == "cpu" else list_gpus()
    device = Device.CUDA if wanted == "cuda" or (wanted == "auto" and gpus) else Device.CPU
    if device is Device.CUDA and gpus and settings.placement.follow == "plan":
        return _planned(settings, models, gpus)
    entries = pool_entries(settings, models)
    if device is Device.CPU:
        kept = read_calibrations(calibrations_file(settings.data_dir))
        entries = tuple(_with_measured(entry, version, kept) for entry in entries)
    cards = {gpu.uuid: gpu.card for gpu in gpus}
    return Lineup(settings, models, entries, device, gpus, cards)


def remote(settings: Settings, device: Device | None = None, cards: Mapping[str, Card] | None = None) -> Lineup:
    """For a request path whose engines run elsewhere: the pool, without a look at this machine. Raises CatalogError.

    `device` and `cards` are theirs, where they are known.
    """
    models = pool_models(settings)
    said = Device.CPU if settings.engines.device == "cpu" else Device.CUDA
    return Lineup(settings, models, pool_entries(settings, models), device or said, (), cards or {})


def start_shape(entry: PoolEntry, ranks: int, vllm_version: str, max_num_seqs: int | None = None) -> EngineShape:
    """An engine of `entry` as the memory model wants it; `max_num_seqs` where fewer were started than asked for."""
    return EngineShape(
        max_model_len=entry.max_model_len,
        tensor_parallel_size=ranks,
        max_num_seqs=max_num_seqs or entry.max_num_seqs,
        max_num_batched_tokens=entry.max_num_batched_tokens,
        quantization=engine_args.online_quantization(entry.extra_args) or entry.model.quantization,
        kv_cache_dtype=engine_args.kv_cache_dtype(entry.extra_args),
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
    ordered = in_plan_order(settings, plan)
    shaped = {model_id: with_geometry(model, settings.models.store / model_id) for model_id, model in models.items()}
    return Lineup(
        ordered,
        shaped,
        pool_entries(ordered, shaped),
        Device.CUDA,
        gpus,
        _cards(plan),
        plan,
        problem.demand,
        (*(f"ended a leftover engine: {engine_id}" for engine_id in ended), *out, *plan.reasons),
    )


def _cards(plan: PlacementPlan) -> dict[str, Card]:
    return {gpu.gpu_id: Card(gpu.name, gpu.total_bytes) for gpu in plan.gpus}


def in_plan_order(settings: Settings, plan: PlacementPlan) -> Settings:
    """The settings with each role's models in the plan's order; those without an engine come last."""
    served = {engine.model_id for engine in plan.engines}
    wishes = dict(plan.roles)

    def ordered(role: str, models: Iterable[str]) -> tuple[str, ...]:
        first = [model for model in wishes.get(role, models) if model in served]
        return tuple(dict.fromkeys((*first, *models)))

    roles = settings.roles
    executors = {skill: ordered(f"executors.{skill}", models) for skill, models in roles.executors.items()}
    played = {
        role: ordered(role, getattr(roles, role)) for role in ("planner", "verifier", "synthesizer", "generalist")
    }
    return settings.model_copy(update={"roles": roles.model_copy(update={**played, "executors": executors})})


def _with_measured(entry: PoolEntry, version: str | None, kept: Mapping[CalibrationKey, Calibration]) -> PoolEntry:
    """With what the same engine took at an earlier start on the CPU."""
    key = start_key(entry, start_shape(entry, entry.tensor_parallel_size, version or DEFAULT_VLLM_VERSION), CPU_CARD)
    found = kept.get(key)
    return entry if found is None else replace(entry, measured_bytes=cpu_bytes(found, entry.kv_cache_memory_bytes))
