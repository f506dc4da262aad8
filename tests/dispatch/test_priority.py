from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dispatch.priority import PATIENCE_S, Waiting, level_of, next_of, place_of

CALL_S = 5.0
PLAIN = Waiting("r", arrived_s=100.0, came_s=100.0, deadline_s=10_000.0)

WAITING = st.builds(
    Waiting,
    request_id=st.sampled_from([f"r{n}" for n in range(6)]),
    arrived_s=st.floats(0, 100),
    came_s=st.floats(0, 900),
    deadline_s=st.floats(100, 2000),
    attained_s=st.floats(0, 500),
    calls_left=st.none() | st.integers(0, 60),
    calls_after=st.integers(0, 12),
)


def first(*line: Waiting, now_s: float = 110.0) -> int:
    return next_of(line, now_s, CALL_S)


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({}, 0),
        ({"attained_s": CALL_S}, 0),
        ({"attained_s": 1.5 * CALL_S}, 1),
        ({"attained_s": 100.0}, math.floor(math.log(20, 1.5))),
        ({"calls_left": 1, "attained_s": 1e6}, 0),
        ({"calls_left": 0}, 0),
        ({"calls_left": 9}, 5),
    ],
)
def test_known_work_counts_and_else_the_service_so_far(change: dict[str, Any], level: int) -> None:
    assert level_of(replace(PLAIN, **change), CALL_S) == level


@pytest.mark.parametrize(
    "better",
    [
        replace(PLAIN, arrived_s=200.0, calls_left=3),
        replace(PLAIN, arrived_s=200.0, attained_s=15.0),
        replace(PLAIN, calls_left=9, arrived_s=99.0),
        replace(PLAIN, calls_left=10, arrived_s=104.0, calls_after=1),
        replace(PLAIN, calls_left=9, arrived_s=105.0, calls_after=1),
        replace(PLAIN, calls_left=9, came_s=99.0),
        replace(PLAIN, calls_left=9, request_id="q"),
    ],
)
def test_what_goes_first(better: Waiting) -> None:
    other = replace(PLAIN, calls_left=9)
    assert (first(other, better), first(better, other)) == (1, 0)


def test_who_cannot_meet_its_deadline_lets_the_others_by() -> None:
    late = replace(PLAIN, deadline_s=124.0, calls_after=2)
    large = replace(PLAIN, calls_left=60)
    assert first(late, large) == 1
    assert first(replace(late, deadline_s=125.0), large) == 0
    assert first(late) == 0


@given(st.lists(WAITING, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_where_a_call_stands(line: list[Waiting], dice: Any) -> None:
    chosen = line[next_of(line, 1000.0, CALL_S)]
    dice.shuffle(line)
    again = line[next_of(line, 1000.0, CALL_S)]
    patient = 1000.0 - chosen.came_s >= PATIENCE_S
    assert again.came_s == chosen.came_s
    assert patient or place_of(again, 1000.0, CALL_S) == place_of(chosen, 1000.0, CALL_S)


@given(WAITING, st.floats(0, 100), st.floats(0, 1000))
def test_a_call_only_falls_back(waiting: Waiting, more_s: float, later_s: float) -> None:
    later = replace(waiting, attained_s=waiting.attained_s + more_s)
    assert place_of(later, 1000.0 + later_s, CALL_S) >= place_of(waiting, 1000.0, CALL_S)


@given(st.lists(WAITING, min_size=1, max_size=40), st.floats(0.5, 60.0))
def test_after_its_patience_a_call_is_overtaken_by_earlier_ones_only(calls: list[Waiting], serve_s: float) -> None:
    """Calls come over time and are served one by one, each in `serve_s`."""
    coming, now_s = sorted(calls, key=lambda call: call.came_s), 0.0
    line: list[Waiting] = []
    while coming or line:
        while coming and (coming[0].came_s <= now_s or not line):
            line.append(coming.pop(0))
            now_s = max(now_s, line[-1].came_s)
        served = line.pop(next_of(line, now_s, CALL_S))
        patient = [call.came_s for call in line if now_s - call.came_s >= PATIENCE_S]
        assert served.came_s <= min(patient, default=math.inf)
        now_s += serve_s
