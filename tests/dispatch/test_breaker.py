"""The circuit breaker as a state machine: every path through it, and what holds on any path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dispatch.breaker import Breaker, BreakerLimits, BreakerState, Sign
from appliance.dispatch.retry_budget import RetryBudget

LIMITS = BreakerLimits(failures=3, open_s=1.0, longest_open_s=8.0)


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker(LIMITS)
    for _ in range(3):
        breaker.ended(Sign.FAILS, now_s, trial=False)
    return breaker


def test_failures_in_a_row_open_it_and_any_success_between_them_does_not_let_them() -> None:
    breaker = Breaker(LIMITS)
    for sign in (Sign.FAILS, Sign.FAILS, Sign.WORKS, Sign.FAILS, Sign.NOTHING, Sign.FAILS):
        breaker.ended(sign, 0.0, trial=False)
        assert breaker.state(0.0) is BreakerState.CLOSED
    breaker.ended(Sign.FAILS, 0.0, trial=False)
    assert (breaker.state(0.0), breaker.has_room(0.0), breaker.left_s(0.25)) == (BreakerState.OPEN, False, 0.75)


def test_after_its_time_one_call_is_tried_and_others_wait() -> None:
    breaker = opened()
    assert not breaker.sent(0.5)
    assert breaker.state(1.0) is BreakerState.HALF_OPEN
    assert breaker.has_room(1.0)
    assert breaker.sent(1.0)
    assert not breaker.has_room(1.0)
    assert not breaker.sent(1.0)
    breaker.ended(Sign.WORKS, 1.5, trial=True)
    assert (breaker.state(1.5), breaker.failures, breaker.has_room(1.5)) == (BreakerState.CLOSED, 0, True)


def test_each_trial_that_fails_doubles_the_time_up_to_the_longest() -> None:
    breaker, now_s, waits = opened(), 0.0, []
    for _ in range(6):
        waits.append(breaker.left_s(now_s))
        now_s += waits[-1]
        assert breaker.sent(now_s)
        breaker.ended(Sign.FAILS, now_s, trial=True)
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_trial_that_says_nothing_leaves_room_for_the_next_one() -> None:
    breaker = opened()
    assert breaker.sent(2.0)
    breaker.ended(Sign.NOTHING, 2.0, trial=True)
    assert breaker.sent(2.0)


def test_late_failures_of_calls_sent_before_change_nothing_once_it_is_open() -> None:
    breaker = opened()
    breaker.ended(Sign.FAILS, 0.9, trial=False)
    assert breaker.left_s(0.9) == pytest.approx(0.1)


@given(st.lists(st.tuples(st.sampled_from(list(Sign)), st.floats(0, 5), st.booleans()), max_size=60))
def test_whatever_happens_it_lets_a_call_through_after_the_longest_time(
    events: list[tuple[Sign, float, bool]],
) -> None:
    breaker, now_s, trials = Breaker(LIMITS), 0.0, 0
    for sign, later_s, ends_now in events:
        now_s += later_s
        room = breaker.has_room(now_s)
        trial = room and breaker.sent(now_s)
        assert trial == (room and breaker.state(now_s) is BreakerState.HALF_OPEN)
        trials += trial
        if ends_now or trial:
            breaker.ended(sign, now_s, trial=trial)
        assert breaker.left_s(now_s) <= LIMITS.longest_open_s
        assert (breaker.state(now_s) is BreakerState.CLOSED) or breaker.failures >= LIMITS.failures
    assert breaker.has_room(now_s + LIMITS.longest_open_s)


@given(st.floats(0, 1), st.floats(0, 20), st.lists(st.booleans(), max_size=300))
def test_retries_never_exceed_their_share_and_what_was_saved_up(share: float, most: float, wishes: list[bool]) -> None:
    budget, made = RetryBudget(share, most), 0
    for number, wish in enumerate(wishes, 1):
        budget.paid_in()
        made += wish and budget.take()
        assert made <= most + share * number + 1e-6


def test_a_budget_that_is_used_up_comes_back_with_the_calls() -> None:
    budget = RetryBudget(share=0.5, most=2.0)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    budget.paid_in()
    assert not budget.take()
    budget.paid_in()
    assert budget.take()
