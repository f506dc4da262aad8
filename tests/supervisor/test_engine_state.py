"""The transition table."""

from __future__ import annotations

import pytest

from appliance.domain.engine import EngineState as S
from appliance.supervisor.engine_state import TRANSITIONS, IllegalTransition, advance


def test_every_state_has_a_row_and_can_be_left() -> None:
    assert TRANSITIONS.keys() == set(S)
    assert all(TRANSITIONS.values())


def test_the_whole_life() -> None:
    state = S.ABSENT
    for target in (S.STARTING, S.WARMING, S.READY, S.DRAINING, S.STOPPED, S.STARTING, S.FAILED, S.STARTING):
        state = advance(state, target)
    assert state is S.STARTING


def test_taking_turns() -> None:
    state = S.READY
    for target in (S.DRAINING, S.ASLEEP, S.WARMING, S.READY, S.DRAINING, S.ASLEEP, S.FAILED, S.ASLEEP):
        state = advance(state, target)
    assert state is S.ASLEEP


@pytest.mark.parametrize(("current", "target"), [(S.READY, S.ASLEEP), (S.ASLEEP, S.READY)])
def test_nobody_falls_asleep_or_wakes_at_once(current: S, target: S) -> None:
    with pytest.raises(IllegalTransition):
        advance(current, target)


@pytest.mark.parametrize(("current", "target"), [(S.ABSENT, S.READY), (S.STOPPED, S.READY), (S.FAILED, S.READY)])
def test_no_engine_becomes_ready_without_a_start(current: S, target: S) -> None:
    with pytest.raises(IllegalTransition, match="can't go from"):
        advance(current, target)
