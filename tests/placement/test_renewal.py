"""When another plan is carried out, and in which names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.placement.continuation import continued
from appliance.placement.renewal import CarryOut, Keep, verdict
from tests.placement.plans import GIB, plan, planned

RUNNING = plan(planned("a-0", "0"), planned("b-0", "1"))


def test_what_stays_keeps_its_id_and_what_moves_or_changes_its_size_gets_a_fresh_one() -> None:
    found = plan(planned("a-0", "1"), planned("a-1", "0"), planned("b-0", "1", kv_gib=3), planned("c-0", "0"))
    named = continued(found, RUNNING)
    assert [(e.engine_id, e.gpu_ids) for e in named.engines] == [
        ("a-1", ("1",)),
        ("a-0", ("0",)),
        ("b-1", ("1",)),
        ("c-0", ("0",)),
    ]
    assert continued(named, named) == named


def test_what_is_booked_for_an_engine_is_nothing_that_it_knows_of() -> None:
    more = plan(planned("a-7", "0", gib=11), planned("b-7", "1"))
    assert [e.engine_id for e in continued(more, RUNNING).engines] == ["a-0", "b-0"]


def test_groups_keep_the_name_of_their_members() -> None:
    before = (("a", "0", "turn-1"), ("b", "0", "turn-1"), ("c", "1", "turn-2"), ("d", "1", "turn-2"))
    after = (("c", "1", "turn-1"), ("d", "1", "turn-1"), ("e", "2", "turn-2"), ("f", "2", "turn-2"))
    running, found = (
        plan(*(planned(f"{name}-0", gpu, turn=turn) for name, gpu, turn in engines)) for engines in (before, after)
    )
    named = continued(found, running)
    assert [(e.engine_id, e.turn_group) for e in named.engines] == [
        ("c-0", "turn-2"),
        ("d-0", "turn-2"),
        ("e-0", "turn-3"),
        ("f-0", "turn-3"),
    ]
    assert [(group.name, group.engine_ids) for group in named.turns] == [
        ("turn-2", ("c-0", "d-0")),
        ("turn-3", ("e-0", "f-0")),
    ]


MOVED = plan(planned("a-0", "0"), planned("b-1", "0"), per_s=1.1)


@pytest.mark.parametrize(
    ("now_per_s", "gain", "carried_out"), [(1.0, 0.15, False), (0.9, 0.15, True), (0.0, 0.15, True), (None, 0, False)]
)
def test_a_plan_that_need_not_be_must_be_faster(now_per_s: float | None, gain: float, carried_out: bool) -> None:
    decision = verdict(RUNNING, MOVED, now_per_s, urgent=False, gain=gain)
    assert isinstance(decision, CarryOut) == carried_out


def test_an_urgent_plan_is_carried_out_and_says_what_changes() -> None:
    decision = verdict(RUNNING, MOVED, 5.0, urgent=True, gain=0.15)
    assert decision == CarryOut(("b-1 starts on 0", "b-0 leaves 1"))


def test_a_plan_that_changes_nothing_is_not_carried_out() -> None:
    same = replace(RUNNING, engines=tuple(replace(e, booked_bytes=11 * GIB) for e in RUNNING.engines))
    assert verdict(RUNNING, same, 0.1, urgent=True, gain=0) == Keep("the best plan now is the one that runs")


def test_a_plan_that_serves_one_model_more_is_carried_out() -> None:
    more = plan(*RUNNING.engines, planned("c-0", "0"), per_s=0.5)
    assert isinstance(verdict(RUNNING, more, 1.0, urgent=False, gain=0.15), CarryOut)


def test_where_all_that_is_wanted_is_reached_the_plan_stays() -> None:
    found = replace(MOVED, requests_per_s=9.0, wanted_per_s=1.0)
    decision = verdict(RUNNING, found, 1.0, urgent=False, gain=0.15)
    assert decision == Keep("the running plan gives the 1 requests/s that are wanted")
