"""A team on so many GPUs of one kind: what the placement solver makes of it, as engines to be simulated. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from appliance.capacity.engine_book import EngineBook
from appliance.capacity.engine_profile import EngineProfile, Source
from appliance.capacity.hardware import GpuKind, nodes_of
from appliance.capacity.setup import EnginePlace
from appliance.capacity.team import Team
from appliance.domain.demand import Demand
from appliance.domain.node import Node
from appliance.domain.placement import PlacementPlan, PlannedEngine, Unplaceable
from appliance.placement.packing_search import Effort

EFFORT: Final = Effort(rate=0.05, window=0.02, later=0.005, bound=0.02)
"""Many plans are looked at, so each is sought with less effort than one that will be carried out."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A plan, and its engines with what they cost."""

    team: Team
    kind: GpuKind
    gpus: int
    plan: PlacementPlan
    places: tuple[EnginePlace, ...]

    @property
    def price_per_hour(self) -> float:
        """Of all its GPUs, whether an engine stands on them or not."""
        return self.gpus * self.kind.price_per_hour.value

    @property
    def nodes(self) -> int:
        """Servers."""
        return len({gpu.node for gpu in self.plan.gpus})

    @property
    def band(self) -> float:
        """The relative uncertainty of the engine of which least is known."""
        return max(place.profile.step.band for place in self.places)

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Models whose engines nobody has measured on this kind of GPU."""
        found = (p.profile.model_id for p in self.places if p.profile.source is not Source.MEASURED)
        return tuple(dict.fromkeys(found))


def lay_out(team: Team, kind: GpuKind, nodes: Sequence[Node], demand: Demand, book: EngineBook) -> Layout | Unplaceable:
    """The solver's plan on these nodes of one kind, with every model awake, or why there is none."""
    from appliance.placement.solver import solve  # OR-tools takes half a second to load, which other verbs need not pay

    classes = frozenset(wanted.data_class for wanted in team.problem.models if wanted.data_class)
    problem = replace(
        team.problem,
        nodes=tuple(replace(node, data_classes=classes) for node in nodes),
        demand=demand,
        constraints=replace(team.problem.constraints, turns=False),
    )
    plan = solve(problem, EFFORT, seek_remedies=False)
    if isinstance(plan, Unplaceable):
        return plan
    wanted = {each.model_id: each for each in problem.models}
    groups = _groups(plan.engines)
    places = []
    for engine in plan.engines:
        group = groups[engine.node, engine.gpu_ids[0]]
        ranks, kv_bytes = engine.tensor_parallel_size, engine.kv_cache_memory_bytes
        profile = book.of(problem, wanted[engine.model_id], kind, ranks, kv_bytes)
        places.append(EnginePlace(engine.engine_id, _as_planned(profile, engine, group), group.name))
    return Layout(team, kind, sum(len(node.accelerators) for node in nodes), plan, tuple(places))


def at_band_end(places: Sequence[EnginePlace], end: float) -> tuple[EnginePlace, ...]:
    """Engines as they would be at one end of their bands: -1 the fast one, 1 the slow one, 0 as expected."""
    return tuple(replace(place, profile=_scaled(place.profile, end)) for place in places) if end else tuple(places)


def nodes_without_one(kind: GpuKind, gpus: int) -> tuple[Node, ...]:
    """What is left when the fullest node is lost."""
    nodes = nodes_of(kind, gpus)
    lost = max(nodes, key=lambda node: len(node.accelerators))
    return tuple(node for node in nodes if node is not lost)


@dataclass(frozen=True, slots=True)
class _Group:
    """GPUs that engines join, directly or by way of others: they slow each other."""

    name: str
    gpus: int


def _groups(engines: Sequence[PlannedEngine]) -> dict[tuple[str, str], _Group]:
    """By GPU: which GPUs it hangs together with, because an engine spans them."""
    joined: list[set[tuple[str, str]]] = []
    for engine in engines:
        keys = {(engine.node, gpu_id) for gpu_id in engine.gpu_ids}
        touching = [group for group in joined if group & keys]
        joined = [group for group in joined if not group & keys] + [keys.union(*touching)]
    found = {}
    for group in joined:
        node = next(iter(group))[0]
        name = f"{node}/{'+'.join(sorted(gpu_id for _, gpu_id in group))}"
        found.update(dict.fromkeys(group, _Group(name, len(group))))
    return found


def _as_planned(profile: EngineProfile, engine: PlannedEngine, group: _Group) -> EngineProfile:
    """With the plan's room; an engine on some GPUs of a group wants that part of the group's time."""
    return replace(
        profile,
        kv_tokens=max(1, engine.kv_tokens),
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        max_model_len=engine.max_model_len,
        device_share=profile.device_share * len(engine.gpu_ids) / group.gpus,
    )


def _scaled(profile: EngineProfile, end: float) -> EngineProfile:
    step, factor = profile.step, 1 + end * profile.step.band
    return replace(
        profile,
        step=replace(
            step,
            fixed_s=step.fixed_s * factor,
            prefill_token_s=step.prefill_token_s * factor,
            decode_sequence_s=step.decode_sequence_s * factor,
            kv_token_s=step.kv_token_s * factor,
            prefill_context_s=step.prefill_context_s * factor,
        ),
    )
