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


@pytest.mark.parametrize(("current", "target"), [(S.ABSENT, S.READY), (S.STOPPED, S.READY), (S.FAILED, S.READY)])
def test_no_engine_becomes_ready_without_a_start(current: S, target: S) -> None:
    with pytest.raises(IllegalTransition, match="can't go from"):
        advance(current, target)
