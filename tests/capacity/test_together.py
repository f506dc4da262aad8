"""Several engines on one device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.capacity.alone import Sent, alone
from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.setup import Arrival, EnginePlace, Setup
from appliance.capacity.simulator import simulate
from appliance.capacity.together import Together, share_of_device, together
from tests.capacity.profiles import direct, engine

CALLS = [(number % 3, Sent(0.01 * number, 20, 8 + number)) for number in range(9)]


def sharing(each: EngineProfile, share: float) -> EngineProfile:
    return replace(each, device_share=share, server_share=share)


def test_it_is_what_the_simulator_says() -> None:
    engines = [engine(name, device_share=0.6, server_share=0.6, server_token_s=0.001, server_s=0.004) for name in "abc"]
    setup = Setup(tuple(EnginePlace(each.model_id, each, "cpu") for each in engines))
    arrivals = [
        Arrival(call.at_s, "t", direct(engines[place].model_id, call.prompt_tokens, call.completion_tokens))
        for place, call in CALLS
    ]
    outcome = simulate(setup, arrivals)
    times_s = [request.ended_s - request.at_s for request in outcome.requests if request.ended_s is not None]

    assert together(engines, CALLS) == pytest.approx(times_s)


def test_an_engine_by_itself_is_alone() -> None:
    calls = [call for _, call in CALLS]
    by_itself = [times.whole_s for times in alone(engine(), calls)]

    assert together([engine()], [(0, call) for call in calls]) == pytest.approx(by_itself)


@pytest.mark.parametrize("share", [0.3, 0.62, 1.0])
def test_the_share_is_found_under_which_they_take_as_long(share: float) -> None:
    engines = tuple(engine(name, server_token_s=0.0005, server_s=0.003) for name in "abc")
    seen = []
    for some in (engines, engines[:2], engines[1:]):
        calls = tuple((place, call) for place, call in CALLS if place < len(some))
        seen.append(Together(some, calls, together([sharing(each, share) for each in some], calls)))

    found = share_of_device(seen, sharing)

    assert found == pytest.approx(share, abs=0.02) or share == 0.3  # up to a third they do not slow each other
    assert found <= share + 0.02
