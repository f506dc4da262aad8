"""Engines that fail, and the budget of retries."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from appliance.dispatch.breaker import BreakerState
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.request import CallContext, EngineCall
from appliance.errors import ApplianceError, EngineRejected, EngineUnavailable
from tests.coordinator.house import engine
from tests.dispatch.calls import built, text_of
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run


async def failing(dispatcher: Dispatcher, times: int) -> None:
    for _ in range(times):
        with pytest.raises(EngineUnavailable):
            await text_of(dispatcher)


def test_an_engine_that_fails_again_and_again_is_left_alone_until_a_trial_goes_well() -> None:
    async def main() -> None:
        loop, down = asyncio.get_running_loop(), Reply(error=EngineUnavailable("reset"))
        dispatcher, client, _ = built(lambda call, ctx: down, engine("m"))
        await failing(dispatcher, 5)
        with pytest.raises(EngineUnavailable, match=r"m-0: its last 5 calls failed; tried again in 1\.0 s"):
            await text_of(dispatcher)
        assert (len(client.asked), dispatcher.broken_engines()) == (5, {"m-0": BreakerState.OPEN})
        client.script = lambda call, ctx: Reply("ok", delay_s=3)
        await asyncio.sleep(1)
        tasks = [asyncio.create_task(text_of(dispatcher, request_id=f"r{number}")) for number in range(3)]
        began_s = loop.time()
        await asyncio.sleep(1)
        assert dispatcher.in_flight == {"m-0": 1}
        assert await asyncio.gather(*tasks) == ["ok"] * 3
        assert loop.time() - began_s == pytest.approx(6, abs=0.2)
        assert dispatcher.broken_engines() == {}

    run(main())


def test_failures_of_an_engine_that_was_taken_away_or_started_anew_do_not_count() -> None:
    async def main() -> None:
        dispatcher, client, fleet = built(lambda call, ctx: "", replace(engine("m"), pid=1))

        def fail_on_the_way_out(call: EngineCall, ctx: CallContext) -> Reply:
            fleet.publish((replace(engine("m", ready=False), pid=1),))
            return Reply(error=EngineUnavailable("broke off"))

        for _ in range(9):
            fleet.publish((replace(engine("m"), pid=1),))
            client.script = fail_on_the_way_out
            await failing(dispatcher, 1)
        assert dispatcher.broken_engines() == {}
        fleet.publish((replace(engine("m"), pid=1),))
        client.script = lambda call, ctx: Reply(error=EngineUnavailable("reset"))
        await failing(dispatcher, 5)
        fleet.publish((replace(engine("m"), pid=2),))
        client.script = lambda call, ctx: "ok"
        assert await text_of(dispatcher) == "ok"

    run(main())


@pytest.mark.parametrize("error", [EngineRejected("odd", status=500), EngineRejected("no", status=400)])
def test_what_a_caller_can_provoke_breaks_no_engine(error: ApplianceError) -> None:
    async def main() -> None:
        dispatcher, client, _ = built(lambda call, ctx: Reply(error=error), engine("m"))
        for _ in range(20):
            with pytest.raises(EngineRejected):
                await text_of(dispatcher)
        client.script = lambda call, ctx: "ok"
        assert await text_of(dispatcher) == "ok"

    run(main())


def test_retries_end_with_their_budget() -> None:
    async def main() -> None:
        dispatcher, client, _ = built(
            lambda call, ctx: Reply(error=EngineRejected("busy", status=429)), engine("m"), engine("m", replica=1)
        )
        for _ in range(100):
            with pytest.raises(EngineRejected):
                await text_of(dispatcher)
        assert 100 + 10 <= len(client.asked) <= 100 + 10 + 10

    run(main())
