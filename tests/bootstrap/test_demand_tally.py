"""Traces → what requests ask of each role."""

from __future__ import annotations

from dataclasses import replace

from appliance.bootstrap.demand_tally import DemandTally
from appliance.placement.demand_watch import RoleTally, Tally
from tests.fakes.traces import repaired_trace


def test_calls_are_counted_by_role_and_skill() -> None:
    tally = DemandTally("auto")
    tally.record(repaired_trace())
    tally.record(repaired_trace())
    assert tally.requests == 2
    found = tally.take()
    assert found == Tally(
        2,
        {
            "planner": RoleTally(2, 80, 20),
            "executors.math": RoleTally(2, 80, 20),
            "verifier": RoleTally(6, 240, 60),
            "executors.text": RoleTally(4, 160, 40),
            "generalist": RoleTally(2, 80, 20),
        },
    )
    assert tally.take() == Tally()


def test_calls_of_a_named_model_or_of_no_engine_are_no_role_s() -> None:
    tally = DemandTally("auto")
    whole = repaired_trace()
    tally.record(replace(whole, requested_model="starter-math"))
    tally.record(replace(whole, calls=()))
    assert tally.take() == Tally()
    tally.record(replace(whole, calls=(whole.calls[0], replace(whole.calls[1], engine_id=""))))
    assert tally.take() == Tally(1, {"planner": RoleTally(1, 40, 10)})
