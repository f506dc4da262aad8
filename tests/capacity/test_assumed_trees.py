"""Requests that stand in for traces: averages as stated, the shape of a plan, lengths that fit."""

from __future__ import annotations

from statistics import fmean

import pytest

from appliance.capacity.assumed_trees import direct_trees, planned_trees
from appliance.capacity.trees import TreeSample
from appliance.domain.model import Role
from tests.capacity.pools import PARTS, SMALL, part


def calls_of(trees: tuple[TreeSample, ...], role: Role) -> float:
    return fmean(sum(call.role is role for call in tree.calls) for tree in trees)


def test_averages_are_as_stated() -> None:
    direct = direct_trees(part(Role.GENERALIST, SMALL, 500, 300), 2000)
    assert fmean(tree.calls[0].prompt_tokens for tree in direct) == pytest.approx(500, rel=0.05)
    assert fmean(tree.calls[0].completion_tokens for tree in direct) == pytest.approx(300, rel=0.05)
    planned = planned_trees(PARTS, 2000)
    assert calls_of(planned, Role.PLANNER) == 1
    assert calls_of(planned, Role.EXECUTOR) == pytest.approx(1.5, rel=0.05)
    assert calls_of(planned, Role.VERIFIER) == pytest.approx(1.5, rel=0.1)


def test_a_plan_is_executed_beside_each_other_judged_and_summed_up() -> None:
    for tree in planned_trees(PARTS, 50):
        planner, *middle, last = tree.calls
        assert planner.waits_for == ()
        assert all(call.waits_for == (0,) for call in middle if call.role is Role.EXECUTOR)
        judged = [tree.calls[call.waits_for[0]].role for call in middle if call.role is Role.VERIFIER]
        assert set(judged) <= {Role.EXECUTOR}
        assert last.role is Role.SYNTHESIZER
        assert last.waits_for == tuple(range(1, len(tree.calls) - 1))
        assert tree.streamed_by == len(tree.calls) - 1
        assert (planner.calls_after, last.calls_after) == (3 if judged else 2, 0)


def test_nothing_is_longer_than_the_model_takes() -> None:
    trees = direct_trees(part(Role.GENERALIST, SMALL, 4000, 4000), 300)
    assert max(call.prompt_tokens + call.completion_tokens for tree in trees for call in tree.calls) <= 4096
    assert min(call.completion_tokens for tree in trees for call in tree.calls) >= 1


def test_the_sample_is_always_the_same() -> None:
    assert planned_trees(PARTS, 20) == planned_trees(PARTS, 20)


def test_without_a_synthesizer_nothing_is_streamed() -> None:
    parts = {key: found for key, found in PARTS.items() if key in {"planner", "executors.math"}}
    assert {tree.streamed_by for tree in planned_trees(parts, 20)} == {None}
