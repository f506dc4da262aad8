"""Several engines on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from appliance.capacity.alone import Sent, Times, alone, together
from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.setup import Arrival, EnginePlace, Setup
from appliance.capacity.simulator import simulate
from appliance.capacity.together import Together, share_of_device
from tests.capacity.profiles import direct, engine

CALLS = [(number % 3, Sent(0.01 * number, 20, 8 + number)) for number in range(9)]


def sharing(each: EngineProfile, share: float) -> EngineProfile:
    return replace(each, device_share=share, server_share=share)


def took_s(times: Sequence[Times]) -> tuple[float, ...]:
    return tuple(each.whole_s for each in times)


def test_it_is_what_the_simulator_says() -> None:
    engines = [engine(name, device_share=0.6, server_share=0.6, server_token_s=0.001, server_s=0.004) for name in "abc"]
    setup = Setup(tuple(EnginePlace(each.model_id, each, "cpu") for each in engines))
    arrivals = [
        Arrival(call.at_s, "t", direct(engines[place].model_id, call.prompt_tokens, call.completion_tokens))
        for place, call in CALLS
    ]
    outcome = simulate(setup, arrivals)
    times_s = [request.ended_s - request.at_s for request in outcome.requests if request.ended_s is not None]

    assert took_s(together(engines, CALLS)) == pytest.approx(times_s)


def test_engines_that_leave_each_other_room_are_as_if_alone() -> None:
    engines = [engine(name, device_share=0.3) for name in "abc"]
    by_itself = [alone(engines[0], [call for place, call in CALLS if place == number]) for number in range(3)]

    times = together(engines, CALLS)

    for number in range(3):
        own = [each for (place, _), each in zip(CALLS, times, strict=True) if place == number]
        assert took_s(own) == pytest.approx(took_s(by_itself[number]))


@pytest.mark.parametrize("share", [0.4, 0.62, 1.0])
def test_the_share_is_found_under_which_they_take_as_long(share: float) -> None:
    engines = tuple(engine(name, server_token_s=0.0005, server_s=0.003) for name in "abc")
    seen = []
    for some in (engines, engines[:2], engines[1:]):
        calls = tuple((place, call) for place, call in CALLS if place < len(some))
        seen.append(Together(some, calls, took_s(together([sharing(each, share) for each in some], calls))))

    assert share_of_device(seen, sharing) == pytest.approx(share, abs=0.02)
