"""Plans of real models after something happened: who stays stays as it is, and all still fits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.domain.node import Node
from appliance.domain.placement import PlacementPlan, Unplaceable
from appliance.placement.continuation import continued, is_same
from appliance.placement.prepared import prepare
from appliance.placement.problem import Problem
from appliance.placement.repair import repair
from appliance.placement.solver import solve
from appliance.placement.sustained import sustained
from tests.placement.problems import GIB, l4, l40s, problem, wanted


def planned(asked: Problem) -> PlacementPlan:
    answer = solve(asked)
    assert isinstance(answer, PlacementPlan), answer
    return answer


def without_gpu(node: Node, gpu_id: str) -> Node:
    return replace(node, accelerators=tuple(a for a in node.accelerators if a.gpu_id != gpu_id))


def assert_fits(plan: PlacementPlan) -> None:
    for gpu in plan.gpus:
        room = gpu.total_bytes - gpu.used_bytes - gpu.reserve_bytes
        assert plan.taken_bytes(gpu.node, gpu.gpu_id) <= room


@pytest.mark.parametrize("lost", ["0", "1", "2", "3"])
def test_after_a_gpu_is_lost_the_others_engines_stay_and_its_own_come_back(lost: str) -> None:
    asked = problem(l40s(4))
    running = planned(asked)
    stay = tuple(engine for engine in running.engines if lost not in engine.gpu_ids)
    after = replace(asked, nodes=(without_gpu(l40s(4), lost),), running=running)
    mended = repair(after, stay)
    if isinstance(mended, Unplaceable):
        pytest.fail(str(mended))
    assert_fits(mended)
    named = {engine.engine_id: engine for engine in continued(mended, running).engines}
    assert all(is_same(named[engine.engine_id], engine) for engine in stay)
    assert {e.model_id for e in named.values()} == {w.model_id for w in asked.models}
    assert mended.requests_per_s is not None
    assert 0 < mended.requests_per_s <= (running.requests_per_s or 0) * 1.001
    assert {e.engine_id for e in mended.engines} == {i for pack in mended.packs for i in pack.engine_ids}


def test_what_does_not_fit_beside_those_that_stay_is_refused() -> None:
    asked = problem(l40s(2))
    running = planned(asked)
    stay = tuple(replace(engine, booked_bytes=44 * GIB) for engine in running.engines if "0" in engine.gpu_ids)
    assert isinstance(repair(replace(asked, nodes=(without_gpu(l40s(2), "1"),), running=running), stay), Unplaceable)


def test_an_engine_that_took_more_is_placed_smaller_beside_its_neighbours() -> None:
    names = ("qwen3-4b", "llama-3.2-3b-instruct")
    asked = problem(l4(), models=tuple(map(wanted, names)), roles={f"executors.{n}": (n,) for n in names})
    running = planned(asked)
    [heavy, other] = sorted(running.engines, key=lambda engine: -engine.kv_cache_memory_bytes)
    [gpu] = running.gpus
    free = gpu.total_bytes - gpu.used_bytes - gpu.reserve_bytes - running.taken_bytes(gpu.node, gpu.gpu_id)
    tight = (replace(other, booked_bytes=other.booked_bytes + free + GIB // 4),)
    mended = repair(replace(asked, running=running), tight)
    assert isinstance(mended, PlacementPlan), mended
    assert_fits(mended)
    named = continued(mended, running)
    [fresh] = [e for e in named.engines if e.model_id == heavy.model_id]
    assert fresh.engine_id != heavy.engine_id
    assert fresh.kv_cache_memory_bytes < heavy.kv_cache_memory_bytes
    assert {e.engine_id for e in named.engines} - {fresh.engine_id} == {other.engine_id}


def test_forbidden_pairs_and_own_replicas_are_kept_apart_from_those_that_stay() -> None:
    asked = problem(l40s(2))
    asked = replace(asked, constraints=replace(asked.constraints, forbidden=(("qwen3-8b", "qwen3-4b"),)))
    running = planned(asked)
    stay = tuple(engine for engine in running.engines if engine.model_id != "qwen3-8b")
    mended = repair(replace(asked, running=running), stay)
    assert isinstance(mended, PlacementPlan)
    for gpu in mended.gpus:
        here = [engine.model_id for engine in mended.on_gpu(gpu.node, gpu.gpu_id)]
        assert not {"qwen3-8b", "qwen3-4b"} <= set(here)
        assert len(here) == len(set(here))


def test_solving_again_keeps_sizes_so_that_nothing_starts_anew() -> None:
    asked = problem(l40s(4))
    running = planned(asked)
    again = continued(planned(replace(asked, running=running)), running)
    assert {e.engine_id for e in again.engines} == {e.engine_id for e in running.engines}
    calls = tuple((role, replace(d, completion_tokens=d.completion_tokens + 10)) for role, d in asked.demand.roles)
    little = replace(asked, demand=replace(asked.demand, roles=calls), running=running)
    assert {e.engine_id for e in continued(planned(little), running).engines} == {e.engine_id for e in running.engines}


def test_the_rate_of_a_plan_s_engines_is_that_of_the_plan() -> None:
    asked = problem(l40s(4))
    plan = planned(asked)
    found = sustained(prepare(asked), plan.engines)
    assert found.rate == pytest.approx(plan.requests_per_s, rel=0.1)
    fewer = sustained(prepare(asked), plan.engines[1:])
    assert fewer.rate is not None
    assert found.rate is not None
    assert fewer.rate <= found.rate
    single = replace(asked, models=(wanted("qwen3-4b"),), roles={"generalist": ("qwen3-4b",)})
    assert sustained(prepare(single), planned(single).engines).rate is None


def test_turns_of_those_that_stay_and_of_those_that_come_are_two_groups() -> None:
    names = ("qwen3-8b", "llama-3.1-8b-instruct", "qwen2.5-7b-instruct")
    models = tuple(wanted(name, 4096) for name in names)
    asked = problem(l4(2), models=models, roles={f"executors.{n}": (n,) for n in names})
    running = planned(asked)
    lost = running.engines[-1].gpu_ids[0]
    stay = tuple(engine for engine in running.engines if lost not in engine.gpu_ids)
    mended = repair(replace(asked, nodes=(without_gpu(l4(2), lost),), running=running), stay)
    if isinstance(mended, PlacementPlan):
        assert_fits(mended)
        assert {e.model_id for e in mended.engines} == set(names)
    else:
        whole = planned(replace(asked, nodes=(without_gpu(l4(2), lost),), running=running))
        assert_fits(whole)
        assert whole.turns
