"""Plans of real models on declared machines: what holds for every plan, and each constraint."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.domain.demand import Demand, RoleDemand
from appliance.domain.node import Accelerator, Node
from appliance.domain.placement import PlacementPlan, Unplaceable
from appliance.placement.calibration import Calibration
from appliance.placement.candidates import key_of
from appliance.placement.problem import Constraints, Problem
from appliance.placement.solver import solve
from tests.placement.problems import GIB, h100, l4, l40s, node, problem, wanted


def plan_of(asked: Problem) -> PlacementPlan:
    """The plan, checked against what every plan must keep."""
    plan = solve(asked)
    assert isinstance(plan, PlacementPlan), plan
    for gpu in plan.gpus:
        room = gpu.total_bytes - gpu.used_bytes - gpu.reserve_bytes
        assert plan.taken_bytes(gpu.node, gpu.gpu_id) <= room
        assert sum(engine.share for engine in plan.on_gpu(gpu.node, gpu.gpu_id)) <= 1 + 1e-9
    for engine in plan.engines:
        assert engine.tensor_parallel_size == len(engine.gpu_ids)
        assert engine.booked_bytes > engine.weights_bytes + engine.kv_cache_memory_bytes
        assert engine.kv_tokens >= engine.max_model_len
    assert {engine.engine_id for engine in plan.engines} == {i for pack in plan.packs for i in pack.engine_ids}
    return plan


def places(plan: PlacementPlan, model_id: str) -> set[tuple[str, str]]:
    return {(e.node, gpu) for e in plan.engines if e.model_id == model_id for gpu in e.gpu_ids}


def test_every_model_is_placed_and_the_bottleneck_is_named() -> None:
    plan = plan_of(problem())
    assert {engine.model_id for engine in plan.engines} == {w.model_id for w in problem().models}
    assert plan.requests_per_s is not None
    assert plan.bound_per_s is not None
    assert plan.requests_per_s >= 0.95 * plan.bound_per_s
    assert any(plan.bottleneck in reason and "estimate" in reason for reason in plan.reasons)


def test_same_input_same_plan() -> None:
    assert solve(problem()) == solve(problem())


def test_more_gpus_serve_more() -> None:
    few, many = plan_of(problem(l40s(2))), plan_of(problem(l40s(4)))
    assert (many.requests_per_s or 0) > 1.5 * (few.requests_per_s or 0)


def test_a_model_that_is_too_large_for_one_gpu_spans_an_island() -> None:
    asked = problem(
        h100(), models=(wanted("llama-3.3-70b-instruct"),), roles={"generalist": ("llama-3.3-70b-instruct",)}
    )
    plan = plan_of(asked)
    assert {engine.tensor_parallel_size for engine in plan.engines} <= {2, 4, 8}
    assert plan.roles == (("generalist", ("llama-3.3-70b-instruct",)),)


def test_nvlink_islands_come_first() -> None:
    gpus = tuple(Accelerator(str(i), "NVIDIA H100 80GB HBM3", int(79.6 * GIB), island="ab"[i % 2]) for i in range(4))
    asked = problem(
        Node("node-1", gpus), models=(wanted("llama-3.3-70b-instruct"),), roles={"planner": ("llama-3.3-70b-instruct",)}
    )
    for engine in plan_of(asked).engines:
        if engine.tensor_parallel_size == 2:
            assert engine.gpu_ids in {("0", "2"), ("1", "3")}


def test_mig_instances_are_devices_of_their_own_and_never_joined() -> None:
    slices = tuple(
        Accelerator(f"MIG-{i}", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", int(19.5 * GIB), parent="0") for i in "ab"
    )
    asked = problem(Node("node-1", slices), models=(wanted("qwen3-4b"),), roles={"executors.math": ("qwen3-4b",)})
    plan = plan_of(asked)
    assert {engine.tensor_parallel_size for engine in plan.engines} == {1}
    assert places(plan, "qwen3-4b") == {("node-1", "MIG-a"), ("node-1", "MIG-b")}


def test_pins_nodes_and_forbidden_pairs_hold() -> None:
    asked = problem(l40s(3), constraints=Constraints(forbidden=(("qwen3-8b", "qwen3-4b"),)))
    pinned = replace(asked.models[0], gpus=frozenset({("node-1", "2")}))
    plan = plan_of(replace(asked, models=(pinned, *asked.models[1:])))
    assert places(plan, "qwen3-8b") == {("node-1", "2")}
    assert not places(plan, "qwen3-8b") & places(plan, "qwen3-4b")


def test_replica_limits_hold() -> None:
    asked = problem(h100(4))
    models = tuple(replace(w, replicas_min=2, replicas_max=2) for w in asked.models)
    plan = plan_of(replace(asked, models=models))
    assert all(sum(e.model_id == w.model_id for e in plan.engines) == 2 for w in models)


def test_data_stays_where_its_class_is_allowed() -> None:
    secret = replace(l40s(2), name="vault", data_classes=frozenset({"secret"}))
    asked = problem(l40s(2), secret)
    models = (replace(asked.models[0], data_class="secret"), *asked.models[1:])
    plan = plan_of(replace(asked, models=models))
    assert {where for where, _ in places(plan, "qwen3-8b")} == {"vault"}


def test_a_reserve_and_what_others_hold_stay_free() -> None:
    taken = replace(l40s(1).accelerators[0], used_bytes=10 * GIB)
    asked = problem(
        Node("node-1", (taken,)),
        models=(wanted("qwen3-4b"),),
        roles={"executors.math": ("qwen3-4b",)},
        constraints=Constraints(reserve_bytes=8 * GIB),
    )
    plan = plan_of(asked)
    assert plan.taken_bytes("node-1", "0") <= taken.total_bytes - 18 * GIB


def test_planner_and_verifier_of_different_families_where_there_is_a_choice() -> None:
    roles = {"planner": ("qwen3-8b",), "verifier": ("qwen3-4b", "llama-3.1-8b-instruct")}
    models = tuple(wanted(name) for name in ("qwen3-8b", "qwen3-4b", "llama-3.1-8b-instruct"))
    plan = plan_of(problem(models=models, roles=roles))
    assert dict(plan.roles)["verifier"] == ("llama-3.1-8b-instruct", "qwen3-4b")
    same = plan_of(problem(models=models[:2], roles={"planner": ("qwen3-8b",), "verifier": ("qwen3-4b",)}))
    assert any("both of family qwen" in reason for reason in same.reasons)


def test_models_take_turns_where_not_all_fit() -> None:
    models = (wanted("qwen3-4b"), wanted("qwen2.5-7b-instruct-awq"), wanted("phi-4-mini-instruct"))
    roles = {"executors.math": ("qwen3-4b",), "verifier": ("qwen2.5-7b-instruct-awq",), "x": ("phi-4-mini-instruct",)}
    asked = problem(l4(), models=models, roles=roles)
    plan = plan_of(asked)
    assert plan.turns
    assert len(plan.turns[0].engine_ids) >= 2
    assert any("sleep and wake" in reason for reason in plan.reasons)
    assert isinstance(solve(replace(asked, nodes=(l4(host_gib=1),))), Unplaceable)
    assert isinstance(solve(replace(asked, constraints=Constraints(turns=False))), Unplaceable)


def test_a_dispensable_model_is_left_out_where_not_all_fit() -> None:
    models = (wanted("qwen3-8b"), wanted("phi-4", replicas_min=0))
    asked = problem(
        l4(), models=models, roles={"generalist": ("qwen3-8b", "phi-4")}, constraints=Constraints(turns=False)
    )
    plan = plan_of(asked)
    assert {engine.model_id for engine in plan.engines} == {"qwen3-8b"}
    assert any("phi-4 was left out" in reason for reason in plan.reasons)


def test_what_runs_is_moved_only_for_a_reason() -> None:
    first = plan_of(problem(l40s(4)))
    again = plan_of(problem(l40s(4), running=first))
    assert {engine.place for engine in again.engines} == {engine.place for engine in first.engines}


def test_without_demand_everything_is_placed_once_and_nothing_bounds_it() -> None:
    plan = plan_of(problem(demand=Demand()))
    assert plan.requests_per_s is None
    assert plan.bottleneck == ""


def test_a_rate_that_is_out_of_reach_is_said() -> None:
    demand = Demand((("generalist", RoleDemand(1, 1000, 1000)),), requests_per_s=1000)
    plan = plan_of(problem(demand=demand))
    assert any("1000 requests/s are wanted" in reason for reason in plan.reasons)


@pytest.mark.parametrize("gpus", [1, 2])
def test_refusal_names_the_shortfall_and_ways_out_that_work(gpus: int) -> None:
    big = wanted("qwen3-14b", 32768)
    asked = problem(
        node(gpus, "NVIDIA L4", 22.5),
        models=(big,),
        roles={"generalist": ("qwen3-14b",)},
        constraints=Constraints(turns=False),
    )
    asked = replace(asked, models=(replace(big, tensor_parallel_sizes=(1,)),))
    refusal = solve(asked)
    assert isinstance(refusal, Unplaceable)
    assert "GiB short on any GPU" in str(refusal)
    assert "quantise qwen3-14b to fp8" in str(refusal)


def test_refusal_of_models_that_fit_alone_but_not_together() -> None:
    models = (wanted("qwen3-8b"), wanted("llama-3.1-8b-instruct"))
    roles = {"planner": ("qwen3-8b",), "verifier": ("llama-3.1-8b-instruct", "qwen3-8b")}
    refusal = solve(problem(l4(), models=models, roles=roles, constraints=Constraints(turns=False)))
    assert isinstance(refusal, Unplaceable)
    assert "together are" in str(refusal)
    assert "drop llama-3.1-8b-instruct" in str(refusal)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"constraints": Constraints(licences=frozenset({"MIT"}))}, "licence Apache-2.0 is not among MIT"),
        ({"models": (wanted("qwen3-8b", data_class="secret"),)}, "no node may process data of class secret"),
        ({"models": (wanted("qwen3-8b", tensor_parallel_sizes=(8,)),)}, "no block of GPUs"),
    ],
)
def test_what_bars_a_model_is_named(changes: dict[str, object], words: str) -> None:
    refusal = solve(
        problem(l40s(2), **({"models": (wanted("qwen3-8b"),)} | changes), roles={"generalist": ("qwen3-8b",)})
    )
    assert isinstance(refusal, Unplaceable)
    assert words in str(refusal)


def test_an_fp8_cache_and_weights_quantised_while_loading_count() -> None:
    one = {"roles": {"generalist": ("qwen3-8b",)}}
    args = ("--kv-cache-dtype", "fp8", "--quantization", "fp8")
    [plain] = plan_of(problem(l4(), models=(wanted("qwen3-8b"),), **one)).engines
    [small] = plan_of(problem(l4(), models=(wanted("qwen3-8b", extra_args=args),), **one)).engines
    assert small.weights_bytes < 0.65 * plain.weights_bytes
    per_token = [e.kv_cache_memory_bytes / e.kv_tokens for e in (small, plain)]
    assert per_token[0] == pytest.approx(per_token[1] / 2, rel=0.01)


def test_options_whose_memory_is_unknown_are_named_until_a_start_has_measured_them() -> None:
    asked = problem(
        l4(), models=(wanted("qwen3-8b", extra_args=("--enable-lora",)),), roles={"generalist": ("qwen3-8b",)}
    )
    assert any("qwen3-8b: not foreseen: what --enable-lora takes" in reason for reason in plan_of(asked).reasons)
    keys = [key_of(asked, asked.models[0], 1, device.card) for device in l4().accelerators]
    measured = {key: Calibration(key, 16 * GIB, 2 * GIB, 0, overhead_bytes=GIB) for key in keys}
    assert not any("not foreseen" in reason for reason in plan_of(replace(asked, calibrations=measured)).reasons)
