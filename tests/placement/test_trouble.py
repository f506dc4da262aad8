"""What speaks against a running plan, and which engines need not move."""

from __future__ import annotations

import pytest

from appliance.placement.trouble import Kind, Seen, Trouble, lasting, staying, troubles
from tests.placement.plans import GIB, plan, planned

SLACK = GIB // 4
RUNNING = plan(planned("a-0", "0"), planned("b-0", "0"), planned("c-0", "1"))
WELL = {"0": GIB, "1": GIB}


def seen(
    others: dict[str, int] | None = None, measured: dict[str, float] | None = None, ill: dict[str, str] | None = None
) -> Seen:
    sizes = {name: round(size * GIB) for name, size in (measured or {}).items()}
    return Seen(WELL if others is None else others, ill or {}, sizes)


def test_nothing_speaks_against_a_plan_that_holds() -> None:
    assert troubles(RUNNING, seen(measured={"a-0": 10.5, "b-0": 9}), SLACK) == ()
    assert troubles(RUNNING, seen({"0": 2 * GIB, "1": 13 * GIB - 1}), SLACK) == ()


def test_a_gpu_that_is_gone_is_named_with_the_reason() -> None:
    sick = seen({"0": GIB}, ill={"1": "a bad row of its memory waits to be remapped"})
    assert troubles(RUNNING, sick, SLACK) == (
        Trouble("1", Kind.GONE, "GPU 1: a bad row of its memory waits to be remapped"),
    )
    assert troubles(RUNNING, seen({"0": GIB}), SLACK)[0].reason == "GPU 1: it is not there any more"
    assert troubles(plan(planned("a-0", "0")), seen({"0": GIB}), SLACK) == (), "nothing ran on it"


def test_an_engine_that_took_more_than_fits_is_told_with_figures() -> None:
    [trouble] = troubles(RUNNING, seen(measured={"a-0": 12.5}), SLACK)
    assert trouble.key == ("0", Kind.OVERFULL)
    assert "a-0 takes 12.5 GiB, planned 10.0" in trouble.reason


def test_others_that_took_more_than_fits_are_told() -> None:
    [trouble] = troubles(RUNNING, seen({"0": 4 * GIB, "1": GIB}), SLACK)
    assert "others hold 4.0 GiB, 3.0 more than planned for" in trouble.reason


def test_of_those_that_take_turns_one_is_awake() -> None:
    turning = plan(*(planned(f"{name}-0", "0", gib=20, turn="turn-1") for name in "ab"))
    assert troubles(turning, seen(), SLACK) == ()
    more = Seen(WELL, {}, {"b-0": 3 * GIB}, frozenset({"b-0"}))
    assert [trouble.kind for trouble in troubles(turning, more, SLACK)] == [Kind.OVERFULL]


def test_a_full_gpu_counts_when_it_is_seen_twice_and_a_lost_one_at_once() -> None:
    full, fuller = (Trouble("0", Kind.OVERFULL, reason) for reason in ("a", "b"))
    gone = Trouble("1", Kind.GONE, "c")
    assert lasting((full, gone), ()) == (gone,)
    assert lasting((fuller,), (full,)) == (fuller,)
    assert lasting((), (full,)) == ()


@pytest.mark.parametrize(
    ("look", "stay"),
    [
        (seen({"0": GIB}), {"a-0", "b-0"}),
        (seen(measured={"a-0": 12.5}), {"b-0", "c-0"}),
        (seen({"0": 4 * GIB, "1": GIB}), {"c-0"}),
        (seen({"0": 4 * GIB, "1": GIB}, {"b-0": 10.5}), {"a-0", "c-0"}),
    ],
)
def test_who_need_not_move(look: Seen, stay: set[str]) -> None:
    found = troubles(RUNNING, look, SLACK)
    assert {engine.engine_id for engine in staying(RUNNING, found, look)} == stay


def test_those_that_stay_count_with_what_was_measured() -> None:
    look = seen({"0": GIB}, {"a-0": 10.5})
    [a, b] = staying(RUNNING, troubles(RUNNING, look, SLACK), look)
    assert (a.booked_bytes, b.booked_bytes) == (round(10.5 * GIB), 10 * GIB)
