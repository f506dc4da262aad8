"""A team's mix, what the solver is told of it, and longer requests."""

from __future__ import annotations

from statistics import fmean

import pytest

from tests.capacity.pools import OTHER, SMALL, alone, pair


def test_the_mix_of_one_way_and_of_two() -> None:
    assert alone().mix(0.2) == {"direct": 1.0}
    assert pair().mix(0.2) == {"direct": 0.8, "plan_execute_verify": 0.2}
    assert pair().mix(0) == {"direct": 1.0}


def test_the_solver_hears_of_calls_per_request_by_role() -> None:
    demand = pair().demand(0.2, 3.0)
    assert demand.requests_per_s == 3.0
    roles = dict(demand.roles)
    assert roles["generalist"].calls == pytest.approx(0.8)
    assert roles["planner"].calls == pytest.approx(0.2)
    assert roles["executors.math"].calls == pytest.approx(0.3, rel=0.2)
    assert roles["planner"].prompt_tokens == pytest.approx(300, rel=0.2)


def test_longer_requests_still_fit() -> None:
    longer = pair().longer(1.25)
    before, after = (fmean(tree.calls[0].prompt_tokens for tree in team.trees["direct"]) for team in (pair(), longer))
    assert after == pytest.approx(1.25 * before, rel=0.01)
    huge = pair().longer(100)
    calls = [call for sample in huge.trees.values() for tree in sample for call in tree.calls]
    assert max(call.prompt_tokens + call.completion_tokens for call in calls) <= 4096


def test_how_many_gpus_an_engine_may_span() -> None:
    spread = pair().sized({SMALL: (2,), OTHER: (1, 2)})
    assert [wanted.tensor_parallel_sizes for wanted in spread.problem.models] == [(2,), (1, 2)]
