"""Places of those who relay bytes."""

from __future__ import annotations

import asyncio

import pytest

from appliance.dispatch.breaker import Sign
from appliance.dispatch.dispatcher import Dispatcher
from appliance.dispatch.places import Under, sign_of
from appliance.domain.fleet import Fleet
from appliance.domain.policy import DataPolicy
from appliance.domain.use_rule import UseRule
from appliance.errors import ApplianceError, ContextTooLong, EngineRejected, EngineUnavailable, NotAllowed
from tests.coordinator.house import engine
from tests.dispatch.calls import built, text_of
from tests.fakes.scripted_client import Reply, ScriptedClient
from tests.fakes.virtual_time import run


def test_who_relays_bytes_shares_counts_lines_and_charges_with_the_streams() -> None:
    async def main() -> None:
        dispatcher, _, _ = built(lambda call, ctx: Reply("x", delay_s=5), engine("m", max_num_seqs=2))
        place = dispatcher.place_now("m", Under(), None)
        assert place is not None
        streams = [asyncio.create_task(text_of(dispatcher, request_id=name)) for name in ("a", "b")]
        await asyncio.sleep(1)
        assert (dispatcher.in_flight, dispatcher.waiting) == ({"m-0": 2}, {"m": 1})
        assert dispatcher.place_now("m", Under(), None) is None  # somebody stands in the line
        place.leave(Sign.WORKS)
        await asyncio.sleep(0.01)
        assert dispatcher.waiting == {}
        assert dispatcher.place_now("m", Under(), None) is None  # there is no room
        assert place.receipt.gpu_s(asyncio.get_running_loop().time()) == pytest.approx(0.5)
        await asyncio.gather(*streams)
        assert (dispatcher.in_flight, dispatcher.idle) == ({}, True)

    run(main())


def test_a_place_elsewhere_is_given_for_failures_that_another_engine_may_not_share() -> None:
    async def main() -> None:
        dispatcher, _, _ = built(lambda call, ctx: "", engine("m"), engine("m", replica=1))

        def again(error: ApplianceError) -> str | None:
            first = dispatcher.place_now("m", Under(), None)
            assert first is not None
            first.leave(sign_of(error))
            second = dispatcher.place_again(error, Under(), None, first, {first.engine.engine_id})
            if second is None:
                return None
            assert second.receipt is first.receipt
            second.leave(Sign.WORKS)
            return second.engine.engine_id

        assert again(EngineUnavailable("reset")) == "m-1"
        assert again(EngineRejected("busy", status=429)) is not None
        assert again(EngineRejected("no", status=400)) is None
        assert again(ContextTooLong("long")) is None
        assert dispatcher.idle

    run(main())


def test_the_policy_holds_for_places_too() -> None:
    async def main() -> None:
        fleet = Fleet()
        fleet.publish((engine("m"),))
        policy = DataPolicy({"secret": UseRule(models=frozenset({"other"}))})
        dispatcher = Dispatcher(fleet, ScriptedClient(lambda call, ctx: ""), policy=policy)
        with pytest.raises(NotAllowed):
            dispatcher.place_now("m", Under(frozenset({"secret"})), None)
        assert dispatcher.place_now("unknown", Under(), None) is None

    run(main())
