"""Calls of models that take turns with others."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from appliance.dispatch.admission import AdmissionLimits
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.request import CallContext, EngineCall
from appliance.errors import ApplianceError, EngineRejected, EngineUnavailable, Overloaded
from tests.coordinator.house import engine
from tests.dispatch.calls import built, text_of
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run


def turner(state: EngineState, max_num_seqs: int = 8) -> EngineStatus:
    return replace(engine("m", max_num_seqs=max_num_seqs), state=state, turn_group="g")


def test_a_call_waits_for_its_turn_beyond_the_wait_for_room_and_renews_its_demand() -> None:
    async def main() -> None:
        limits = AdmissionLimits(max_wait_s=3)
        dispatcher, client, fleet = built(
            lambda call, ctx: Reply("x", delay_s=2), turner(EngineState.ASLEEP), limits=limits
        )
        tasks = [asyncio.create_task(text_of(dispatcher)) for _ in range(2)]
        await asyncio.sleep(50)
        assert [event.waiting for event in fleet.demand][-1] == 2
        assert fleet.demand[-1].at_s == pytest.approx(1050, abs=0.2)
        for state in (EngineState.WARMING, EngineState.READY):
            fleet.publish((turner(state, max_num_seqs=1),))
            await asyncio.sleep(1)
        assert fleet.demand[-1] == replace(fleet.demand[-1], waiting=1, in_flight=1)
        # Only now the wait for room counts: the second call waits two seconds for the first.
        assert await asyncio.gather(*tasks) == ["x", "x"]
        assert (fleet.demand[-1].waiting, fleet.demand[-1].in_flight) == (0, 0)
        assert len(client.asked) == 2

    run(main())


def test_a_turn_that_does_not_come_is_said_at_the_deadline() -> None:
    async def main() -> None:
        dispatcher, _, fleet = built(lambda call, ctx: "x", turner(EngineState.ASLEEP))
        with pytest.raises(Overloaded, match=r"its turn did not come within 1000\.0 s"):
            await text_of(dispatcher)
        assert fleet.demand[-1].waiting == 0

    run(main())


def test_who_leaves_takes_back_the_demand() -> None:
    async def main() -> None:
        dispatcher, _, fleet = built(lambda call, ctx: "x", turner(EngineState.ASLEEP))
        task = asyncio.create_task(text_of(dispatcher))
        await asyncio.sleep(1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert (fleet.demand[-1].waiting, fleet.demand[-1].in_flight) == (0, 0)

    run(main())


@pytest.mark.parametrize("error", [EngineUnavailable("broke off"), EngineRejected("503", status=503)])
def test_a_call_that_met_an_engine_on_its_way_to_sleep_comes_again_in_the_next_turn(error: ApplianceError) -> None:
    async def main() -> None:
        dispatcher, client, fleet = built(lambda call, ctx: "", turner(EngineState.READY))

        def refuse(call: EngineCall, ctx: CallContext) -> Reply:
            fleet.publish((turner(EngineState.DRAINING),))
            client.script = lambda call, ctx: "ok"
            return Reply(error=error)

        client.script = refuse
        task = asyncio.create_task(text_of(dispatcher))
        await asyncio.sleep(20)
        fleet.publish((turner(EngineState.READY),))
        assert await task == "ok"
        assert len(client.asked) == 2

    run(main())
