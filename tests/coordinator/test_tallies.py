from __future__ import annotations

from appliance.coordinator.tallies import tallied
from appliance.domain.model import Role
from appliance.domain.request import Usage
from appliance.domain.trace import CallRecord, Outcome


def call(role: Role, model_id: str, usage: Usage, gpu_s: float) -> CallRecord:
    return CallRecord(
        call_id="c1",
        task_id="s1",
        role=role,
        model_id=model_id,
        engine_id="e",
        attempt=1,
        started_s=0.0,
        queue_s=0.0,
        engine_s=1.0,
        first_token_s=None,
        usage=usage,
        outcome=Outcome.OK,
        error="",
        prompt=None,
        answer=None,
        gpu_s=gpu_s,
    )


def test_no_calls_took_nothing() -> None:
    tallies = tallied(())
    assert (tallies.whole.usage, tallies.whole.gpu_s, tallies.by_role, tallies.by_model) == (Usage(), 0.0, {}, {})


def test_calls_are_added_up_by_role_and_by_model_in_the_order_of_the_first_ones() -> None:
    tallies = tallied(
        (
            call(Role.PLANNER, "big", Usage(10, 5), 0.5),
            call(Role.EXECUTOR, "small", Usage(1, 2, 3), 0.25),
            call(Role.EXECUTOR, "big", Usage(4, 4), 1.0),
        )
    )
    assert (tallies.whole.usage, tallies.whole.gpu_s) == (Usage(15, 11, 3), 1.75)
    assert [(role, tally.usage) for role, tally in tallies.by_role.items()] == [
        (Role.PLANNER, Usage(10, 5)),
        (Role.EXECUTOR, Usage(5, 6, 3)),
    ]
    assert [(name, tally.gpu_s) for name, tally in tallies.by_model.items()] == [("big", 1.5), ("small", 0.25)]
