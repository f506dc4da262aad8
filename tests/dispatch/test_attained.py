from __future__ import annotations

import pytest

from appliance.dispatch.attained import FIRST_GUESS_S, Attained


def test_service_is_counted_while_calls_run_and_when_they_have_ended() -> None:
    attained = Attained()
    with attained.opened("r", 10.0):
        attained.begin("r", 11.0)
        attained.begin("r", 13.0)
        assert attained.arrived_s("r") == 10.0
        assert attained.attained_s("r", 15.0) == 6.0
        attained.end("r", 11.0, 15.0, well=True)
        assert attained.attained_s("r", 20.0) == 11.0
        attained.end("r", 13.0, 20.0, well=False)
        assert attained.attained_s("r", 99.0) == 11.0
    assert attained.call_s == pytest.approx(FIRST_GUESS_S - 0.02)


def test_the_last_one_who_lets_go_closes_the_account() -> None:
    attained = Attained()
    with attained.opened("r", 1.0):
        with attained.opened("r", 5.0), attained.opened("other", 6.0):
            assert attained.arrived_s("r") == 1.0
            assert len(attained) == 2
        assert len(attained) == 1
    assert len(attained) == 0
    with pytest.raises(KeyError):
        attained.attained_s("r", 9.0)
