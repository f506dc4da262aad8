"""Configuration, catalog, profile and evaluation → the teams that an advice chooses from, and how they are tried."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from appliance.bootstrap.planning import problem_of
from appliance.bootstrap.site import Site
from appliance.capacity.advice import LeftOut
from appliance.capacity.assumed_trees import SOURCE, Part, direct_trees, planned_trees
from appliance.capacity.hardware import GpuKind, nodes_of
from appliance.capacity.prediction import Rules
from appliance.capacity.profile import Profile
from appliance.capacity.quality import Measured
from appliance.capacity.team import Team
from appliance.capacity.trees import TreeSample
from appliance.catalog.loader import find, load_catalog
from appliance.config import PoolMember, Settings, describe
from appliance.config.placement import DEFAULT_DIRECT
from appliance.dispatch.endpoint_picker import PickWeights
from appliance.domain.demand import RoleDemand
from appliance.domain.model import Role
from appliance.domain.strategy import DIRECT, PLAN_EXECUTE_VERIFY
from appliance.errors import ConfigError
from appliance.placement.assignment import assign
from appliance.placement.problem import Problem

_OF_STRATEGIES: Final = frozenset({"rules", "cascade", "best_of_n", "self_consistency", "effort", "direct"})
"""Keys of `coordinator` that mean nothing where everything is answered directly."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A team, and the settings that it would be run with."""

    team: Team
    settings: Settings


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured: request trees and step costs, and quality. None: not."""

    profile: Profile | None = None
    profile_name: str = ""
    quality: Measured | None = None


def teams_of(
    settings: Settings, kind: GpuKind, evidence: Evidence, hard_share: float, more_models: Sequence[str] = ()
) -> tuple[Tried | LeftOut, ...]:
    """The configured team, and each model that may answer by itself: the generalists, and `more_models` of the catalog.

    Raises ConfigError for models that the catalog does not have, and for traces of another pool.
    """
    free = _unpinned(settings)
    _check_profile(free, evidence)
    alone = dict.fromkeys((*free.roles.generalist, *_known(free, more_models)))
    tried = [_configured(free, kind, evidence, hard_share)] if free.roles.planner else []
    return (*tried, *(_alone(free, model_id, kind, evidence, hard_share) for model_id in alone))


def rules_of(settings: Settings) -> Rules:
    """How calls would be dispatched."""
    weights = PickWeights(**settings.dispatch.weights.model_dump())
    return Rules(settings.coordinator.budget.wall_s, weights=weights)


def wanting(settings: Settings, requests_per_s: float) -> Settings:
    """The settings with this rate as the one that a plan is made for."""
    placement = settings.placement.model_copy(update={"requests_per_s": round(requests_per_s, 4)})
    return settings.model_copy(update={"placement": placement}).said_by(settings.source)


@contextmanager
def mapping_over_cores() -> Iterator[Any]:
    """A `map` over as many processes as there are cores; on one core the plain one."""
    cores = len(os.sched_getaffinity(0))
    if cores == 1:
        yield map
        return
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool.map


def _unpinned(settings: Settings) -> Settings:
    """Without pins to GPUs and nodes of today's site: others are looked at."""
    limits = {
        model_id: limit.model_copy(update={"gpus": (), "nodes": ()})
        for model_id, limit in settings.placement.models.items()
    }
    placement = settings.placement.model_copy(update={"models": limits} if limits else {})
    pool = tuple(
        member.model_copy(update={"engine": member.engine.model_copy(update={"gpu_ids": ()})})
        if member.engine.gpu_ids
        else member
        for member in settings.pool
    )
    return settings.model_copy(update={"placement": placement, "pool": pool}).said_by(settings.source)


def _known(settings: Settings, models: Sequence[str]) -> Sequence[str]:
    catalog = load_catalog(settings.models.catalog) if models else {}
    for model_id in models:
        model = find(catalog, model_id)
        if Role.GENERALIST not in model.roles:
            raise ConfigError(f"--models {model_id}: it does not answer by itself; name one whose roles say generalist")
    return models


def _check_profile(settings: Settings, evidence: Evidence) -> None:
    if evidence.profile is None:
        return
    pool = {member.model for member in settings.pool}
    for traffic, trees in evidence.profile.trees.items():
        strange = sorted({model for tree in trees for model in tree.models} - pool)
        if strange:
            raise ConfigError(
                f"{evidence.profile_name}: the requests of the class {traffic} are traces of another pool: they call "
                f"{', '.join(strange)}, and {settings.source} has {', '.join(sorted(pool))}"
            )


def _configured(settings: Settings, kind: GpuKind, evidence: Evidence, hard_share: float) -> Tried:
    """Easy requests and hard ones as the configuration has them answered."""
    said = settings.coordinator
    problem = _problem(settings, kind)
    trees, source = _trees(settings, problem, evidence, (said.easy, said.orchestrated))
    team = Team(f"{_stem(settings)} as configured", problem, said.easy, said.orchestrated, trees, source)
    generalist = settings.roles.generalist[0]
    easy, hard = (
        generalist if strategy == DIRECT else f"{said.virtual_model}:{strategy}"
        for strategy in (said.easy, said.orchestrated)
    )
    return Tried(_with_quality(team, evidence, easy, hard, hard_share), settings)


def _alone(settings: Settings, model_id: str, kind: GpuKind, evidence: Evidence, hard_share: float) -> Tried | LeftOut:
    """One model answers everything in one call."""
    member = next((each for each in settings.pool if each.model == model_id), None) or _joining(settings, model_id)
    try:
        reduced = _reduced(settings, member)
    except ValidationError as error:
        return LeftOut(f"{model_id} alone", "", f"the configuration does not allow it: {describe(error)}")
    problem = _problem(reduced, kind)
    measured = None if evidence.profile is None else evidence.profile.trees.get(DIRECT)
    if measured:
        trees = tuple(_answered_by(tree, model_id) for tree in measured)
        source = f"{evidence.profile_name}: {len(trees)} traces of {DIRECT}"
    else:
        trees = direct_trees(_part(Role.GENERALIST, model_id, _direct_demand(settings), problem))
        source = SOURCE
    team = Team(f"{model_id} alone", problem, DIRECT, DIRECT, {DIRECT: trees}, source)
    return Tried(_with_quality(team, evidence, model_id, model_id, hard_share), reduced)


def _joining(settings: Settings, model_id: str) -> PoolMember:
    """A model of the catalog that is not in the pool, with the options of the pool's first."""
    model = find(load_catalog(settings.models.catalog), model_id)
    first = settings.pool[0].engine
    engine = first.model_copy(
        update={"max_model_len": min(first.max_model_len, model.context_tokens), "extra_args": ()}
    )
    return PoolMember(model=model_id, engine=engine)


def _reduced(settings: Settings, member: PoolMember) -> Settings:
    """The configuration with this model alone, which answers everything directly. Raises ValidationError."""
    said = settings.model_dump(exclude_unset=True)
    return Settings.model_validate(
        {
            **said,
            "pool": [member.model_dump(exclude_unset=True)],
            "roles": {"generalist": [member.model]},
            "placement": _placement_of(settings, member.model),
            "coordinator": {
                **{key: value for key, value in said.get("coordinator", {}).items() if key not in _OF_STRATEGIES},
                "easy": DIRECT,
                "orchestrated": DIRECT,
            },
        }
    ).said_by(settings.source)


def _placement_of(settings: Settings, model_id: str) -> dict[str, Any]:
    said = settings.placement.model_dump(exclude_unset=True)
    kept = {key: value for key, value in said.items() if key not in {"calls", "models", "forbidden_pairs"}}
    limits = said.get("models", {}).get(model_id)
    return {**kept, **({"models": {model_id: limits}} if limits else {})}


def _problem(settings: Settings, kind: GpuKind) -> Problem:
    """On a node of this kind; the nodes are replaced for each candidate."""
    nodes = nodes_of(kind, 1)
    classes = {settings.placement.data_class, *(limit.data_class for limit in settings.placement.models.values())}
    nodes = tuple(replace(node, data_classes=frozenset(filter(None, classes))) for node in nodes)
    problem = problem_of(settings, None, site=Site(nodes, f"a node of {kind.kind}"))
    for wanted in problem.models:
        if wanted.model.geometry is None:
            raise ConfigError(
                f"{settings.source}: pool: the shape of {wanted.model_id} is not known, so nobody can say what it "
                f"takes; complete `config` in its manifest, or put its files into {settings.models.store}"
            )
    return problem


def _trees(
    settings: Settings, problem: Problem, evidence: Evidence, strategies: Sequence[str]
) -> tuple[Mapping[str, tuple[TreeSample, ...]], str]:
    """As they were traced; where there are no traces, as the configuration states the calls."""
    profile = evidence.profile
    if profile is not None and profile.trees:
        missing = [strategy for strategy in strategies if not profile.trees.get(strategy)]
        if missing:
            raise ConfigError(
                f"{evidence.profile_name}: has no requests of the class {missing[0]} (it has: "
                f"{', '.join(sorted(profile.trees)) or 'none'}); profile with traces of both easy and hard requests"
            )
        counts = ", ".join(
            f"{len(profile.trees[strategy])} traces of {strategy}" for strategy in dict.fromkeys(strategies)
        )
        return {strategy: profile.trees[strategy] for strategy in strategies}, f"{evidence.profile_name}: {counts}"
    return {strategy: _assumed(settings, problem, strategy) for strategy in strategies}, SOURCE


def _assumed(settings: Settings, problem: Problem, strategy: str) -> tuple[TreeSample, ...]:
    if strategy == DIRECT:
        model_id = settings.roles.generalist[0]
        return direct_trees(_part(Role.GENERALIST, model_id, _direct_demand(settings), problem))
    if strategy != PLAN_EXECUTE_VERIFY:
        raise ConfigError(
            f"{settings.source}: how many calls {strategy} makes is not known without traces; give --profile with "
            "some, made by `appliance capacity profile`"
        )
    parts = {}
    for key, models in assign(problem).roles:
        demand = problem.demand.of(key)
        if demand is not None and key != Role.GENERALIST.value:
            role = Role(key.partition(".")[0].removesuffix("s"))
            parts[key] = _part(role, models[0], demand, problem)
    if "planner" not in parts or not any(part.role is Role.EXECUTOR for part in parts.values()):
        raise ConfigError(
            f"{settings.source}: placement.calls: says nothing of a planner or of executors; state their calls, or "
            "take calls out of it"
        )
    return planned_trees(parts)


def _part(role: Role, model_id: str, demand: RoleDemand, problem: Problem) -> Part:
    wanted = next(each for each in problem.models if each.model_id == model_id)
    return Part(role, model_id, demand, wanted.max_model_len)


def _direct_demand(settings: Settings) -> RoleDemand:
    said = settings.placement.calls.get(Role.GENERALIST.value)
    return DEFAULT_DIRECT if said is None else RoleDemand(1, said.prompt_tokens, said.completion_tokens)


def _answered_by(tree: TreeSample, model_id: str) -> TreeSample:
    return replace(tree, calls=tuple(replace(call, model_id=model_id) for call in tree.calls))


def _with_quality(team: Team, evidence: Evidence, easy: str, hard: str, hard_share: float) -> Team:
    measured = evidence.quality
    if measured is None:
        return replace(team, quality_missing="its quality was not measured; give --eval RUN")
    if len(team.models) > 1 and measured.models != set(team.models):
        names = ", ".join(sorted(measured.models))
        return replace(team, quality_missing=f"{measured.name} is a run of another pool ({names})")
    found = measured.quality(easy, hard, hard_share)
    if found is None:
        missing = " and ".join(dict.fromkeys((easy, hard)))
        words = f"{measured.name} did not measure {missing}; run `appliance eval run` with these targets"
        return replace(team, quality_missing=words)
    return replace(team, quality=found)


def _stem(settings: Settings) -> str:
    return Path(settings.source).stem
