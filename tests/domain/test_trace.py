from __future__ import annotations

from dataclasses import replace

from appliance.domain.trace import Outcome, TaskRecord
from tests.fakes.traces import repaired_trace


def task(task_id: str) -> TaskRecord:
    return TaskRecord(task_id, "math", (), Outcome.OK, 1, 1)


def test_tasks_of_a_nested_plan_know_their_parent() -> None:
    trace = replace(repaired_trace(), tasks=tuple(task(name) for name in ("s1", "s1.s2", "s1.s2.s1", "2.s1")))
    assert [trace.parent_of(name) for name in ("s1", "s1.s2", "s1.s2.s1", "2.s1", "s1.plan", "plan")] == [
        *(None, "s1", "s1.s2", None, "s1", None),
    ]
