"""Trees of calls whose times are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.bench.trees import critical_path, tree_figures, tree_of
from appliance.domain.model import Role
from appliance.domain.trace import CallRecord
from tests.fakes.traces import repaired_trace


def call(call_id: str, role: Role, started_s: float, queue_s: float, engine_s: float) -> CallRecord:
    first = repaired_trace("t").calls[0]
    return replace(
        first, call_id=call_id, role=role, started_s=started_s, queue_s=queue_s, engine_s=engine_s, gpu_s=engine_s / 2
    )


CALLS = (
    call("plan", Role.PLANNER, 0.0, 0.1, 0.4),
    call("short", Role.EXECUTOR, 0.5, 0.0, 0.2),
    call("long", Role.EXECUTOR, 0.5, 0.3, 0.7),
    call("judge-short", Role.VERIFIER, 0.7, 0.0, 0.1),
    call("judge-long", Role.VERIFIER, 1.5, 0.0, 0.5),
)


def test_the_critical_path_is_what_the_end_waited_for() -> None:
    assert [one.call_id for one in critical_path(CALLS)] == ["plan", "long", "judge-long"]
    assert critical_path(()) == ()


def test_figures_of_trees() -> None:
    tree = tree_of(replace(repaired_trace("t"), calls=CALLS, duration_s=2.5))
    assert (tree.fan_out, tree.width) == (5, 2)
    assert tree.path_s == pytest.approx(2.0)
    found = tree_figures([tree, tree], missing=1)
    assert (found.trees, found.missing) == (2, 1)
    assert found.path_share == pytest.approx(0.8)
    assert found.path_queue_s.mean == pytest.approx(0.4)
    assert found.queue_s_per_hop.count == 6
    assert found.gpu_s.mean == pytest.approx(0.95)
    assert found.roles["executor"].calls_per_request == 2
    assert found.roles["executor"].queue_s.mean == pytest.approx(0.15)
    assert found.roles["verifier"].gpu_s_per_request == pytest.approx(0.3)
    assert set(found.as_document()["roles"]) == {"executor", "planner", "verifier"}


def test_no_trees() -> None:
    assert tree_figures([]).path_share == 0.0
