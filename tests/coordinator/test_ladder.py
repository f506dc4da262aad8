"""The declared smaller plans, and the calls that each of them is expected to make."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.coordinator.ladder import rungs
from appliance.coordinator.running_figures import Mean
from appliance.coordinator.shape import expected_shape
from appliance.coordinator.statistics import StrategyFigures
from appliance.coordinator.strategy_options import BestOfNOptions, SelfConsistencyOptions
from appliance.domain.model import Role
from appliance.domain.strategy import (
    BEST_OF_N,
    CASCADE,
    DIRECT,
    PASSTHROUGH,
    PLAN_EXECUTE,
    PLAN_EXECUTE_VERIFY,
    SELF_CONSISTENCY,
)
from tests.coordinator.house import OPTIONS


@pytest.mark.parametrize(
    ("strategy", "steps"),
    [
        (DIRECT, [""]),
        (CASCADE, [""]),
        (BEST_OF_N, ["", "fewer candidates"]),
        (SELF_CONSISTENCY, ["", "fewer candidates"]),
        (PLAN_EXECUTE_VERIFY, ["", "no repairs", "no verification"]),
        (PLAN_EXECUTE, ["", "no repairs"]),
    ],
)
def test_steps_down(strategy: str, steps: list[str]) -> None:
    assert [step for step, _ in rungs(strategy, OPTIONS)] == steps


def test_each_step_keeps_what_the_ones_before_left_out() -> None:
    last = list(rungs(PLAN_EXECUTE_VERIFY, OPTIONS))[-1][1].verification
    assert (last.enabled, last.repair_attempts, last.replans) == (False, 0, 0)


def test_a_team_without_its_verifier_is_reckoned_without_verdicts() -> None:
    (_, whole), *_ = rungs(PLAN_EXECUTE, OPTIONS)
    assert not whole.verification.enabled
    shape = expected_shape(PLAN_EXECUTE, whole, StrategyFigures(Mean(1.0)), "generalist", 100, 3)
    assert {role for role, _ in shape.calls} == {Role.PLANNER, Role.EXECUTOR}
    assert shape.tasks == 3


def test_where_there_is_nothing_to_save_there_is_no_step() -> None:
    few = replace(OPTIONS, best_of_n=BestOfNOptions(candidates=2), self_consistency=SelfConsistencyOptions(samples=3))
    assert [step for step, _ in rungs(BEST_OF_N, few)] == [""]
    assert [step for step, _ in rungs(SELF_CONSISTENCY, few)] == [""]
    unverified = replace(OPTIONS, roles=replace(OPTIONS.roles, verifier=()))
    assert [step for step, _ in rungs(PLAN_EXECUTE_VERIFY, unverified)] == ["", "no repairs"]


def counts(strategy: str, figures: StrategyFigures | None = None, tasks: int | None = None) -> dict[str, float]:
    shape = expected_shape(strategy, OPTIONS, figures or StrategyFigures(Mean(1.0)), "generalist", 100, tasks)
    return {f"{role.value} {model_id}": count for (role, model_id), count in shape.calls.items()}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (DIRECT, {"generalist generalist": 1.0}),
        (PASSTHROUGH, {"generalist generalist": 1.0}),
        (BEST_OF_N, {"generalist generalist": 4.0, "verifier verifier": 4.0}),
        (SELF_CONSISTENCY, {"generalist generalist": 5.0}),
        (CASCADE, {"generalist generalist": 1.0, "verifier verifier": 1.0}),
        (
            PLAN_EXECUTE_VERIFY,
            {"planner planner": 1.0, "executor math": 1.0, "executor text": 1.0, "verifier verifier": 2.0},
        ),
    ],
)
def test_calls_that_were_never_seen_are_reckoned(strategy: str, expected: dict[str, float]) -> None:
    assert counts(strategy) == expected


def learned() -> StrategyFigures:
    """Plans of four tasks with one repair in each of them."""
    figures = StrategyFigures(Mean(0.5), requests=9, tasks=Mean(4.0))
    seen = {Role.PLANNER: ("planner", 1.0), Role.EXECUTOR: ("math", 8.0), Role.VERIFIER: ("verifier", 8.0)}
    figures.calls = {(role, model_id): Mean(count) for role, (model_id, count) in seen.items()}
    return figures


def test_learned_calls_follow_the_number_of_tasks() -> None:
    assert counts(PLAN_EXECUTE_VERIFY, learned()) == {"planner planner": 1, "executor math": 8, "verifier verifier": 8}
    two = counts(PLAN_EXECUTE_VERIFY, learned(), tasks=2)
    assert two == {"planner planner": 1, "executor math": 4, "verifier verifier": 4}


def test_what_the_options_leave_out_is_left_out_of_what_was_learned() -> None:
    for step, options in rungs(PLAN_EXECUTE_VERIFY, OPTIONS):
        shape = expected_shape(PLAN_EXECUTE_VERIFY, options, learned(), "generalist", 100, None)
        by_role = {role: count for (role, _), count in shape.calls.items()}
        assert by_role[Role.EXECUTOR] == (8 if not step else 4)
        assert by_role.get(Role.VERIFIER) == {"": 8, "no repairs": 4, "no verification": None}[step]
