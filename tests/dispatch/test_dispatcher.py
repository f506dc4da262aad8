"""The stream of one call: retries, waiting for room, leaving."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from appliance.dispatch.admission import AdmissionLimits
from appliance.dispatch.dispatcher import Sent
from appliance.errors import ApplianceError, ContextTooLong, EngineRejected, EngineUnavailable, Overloaded
from tests.coordinator.house import engine
from tests.dispatch.calls import CALL, built, context, text_of
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run


def test_chunks_name_their_engine_and_nothing_stays_in_flight() -> None:
    async def main() -> None:
        dispatcher, _, _ = built(lambda call, ctx: "a b", engine("m"))
        sent: list[Sent] = []
        chunks = []
        async for chunk in dispatcher.stream(CALL, context(), sent.append):
            assert dispatcher.in_flight == {"m-0": 1}
            chunks.append(chunk)
        assert {chunk.engine_id for chunk in chunks} == {"m-0"}
        assert [(s.engine_id, s.queue_s, s.attempt) for s in sent] == [("m-0", 0.0, 1)]
        assert (dispatcher.in_flight, dispatcher.waiting) == ({}, {})

    run(main())


def test_no_engine_is_an_error_and_a_demand() -> None:
    async def main() -> None:
        dispatcher, _, fleet = built(lambda call, ctx: "a", engine("m", ready=False))
        with pytest.raises(EngineUnavailable, match=r"no ready engine serves m \(m-0: failed\)"):
            await text_of(dispatcher)
        (demand,) = fleet.demand
        assert (demand.model_id, demand.waiting, demand.at_s) == ("m", 1, 1000.0)

    run(main())


@pytest.mark.parametrize("error", [EngineUnavailable("reset"), EngineRejected("500", status=500)])
def test_one_retry_on_another_replica_before_the_first_byte(error: ApplianceError) -> None:
    async def main() -> None:
        dispatcher, client, _ = built(lambda call, ctx: "", engine("m"), engine("m", replica=1))
        client.script = lambda call, ctx: Reply(error=error) if len(client.asked) == 1 else "ok"
        sent: list[Sent] = []
        assert await text_of(dispatcher, sent.append) == "ok"
        assert [(s.engine_id, s.attempt) for s in sent] == [("m-0", 1), ("m-1", 2)]
        client.script = lambda call, ctx: Reply(error=error)
        client.asked.clear()
        with pytest.raises(type(error)):
            await text_of(dispatcher)
        assert len(client.asked) == 2

    run(main())


@pytest.mark.parametrize(
    ("reply", "replicas"),
    [
        (Reply(error=EngineUnavailable("reset")), 1),
        (Reply(error=EngineRejected("400", status=400)), 2),
        (Reply(error=ContextTooLong("long")), 2),
        (Reply("a b", error=EngineUnavailable("reset"), pieces_before_error=1), 2),
    ],
)
def test_no_retry(reply: Reply, replicas: int) -> None:
    async def main() -> None:
        dispatcher, client, _ = built(lambda call, ctx: reply, *(engine("m", replica=n) for n in range(replicas)))
        with pytest.raises(ApplianceError) as caught:
            await text_of(dispatcher)
        assert caught.value is reply.error
        assert len(client.asked) == 1
        assert dispatcher.in_flight == {}

    run(main())


def test_calls_wait_for_room_in_their_order() -> None:
    async def main() -> None:
        dispatcher, client, _ = built(lambda call, ctx: Reply("x", delay_s=1.0), engine("m", max_num_seqs=2))
        began_s = asyncio.get_running_loop().time()
        queued: list[float] = []
        order: list[int] = []

        async def one(number: int) -> None:
            def on_sent(sent: Sent) -> None:
                order.append(number)
                queued.append(sent.queue_s)

            await text_of(dispatcher, on_sent)

        tasks = [asyncio.create_task(one(number)) for number in range(6)]
        await asyncio.sleep(0)
        assert dispatcher.waiting == {"m": 4}
        await asyncio.gather(*tasks)
        assert order == list(range(6))
        assert client.most_open == 2
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(3.0)
        assert queued == pytest.approx([0, 0, 1, 1, 2, 2])
        assert dispatcher.waiting == {}

    run(main())


def test_a_waiting_call_finds_a_new_replica() -> None:
    async def main() -> None:
        dispatcher, client, fleet = built(lambda call, ctx: Reply("x", delay_s=9.0), engine("m", max_num_seqs=1))
        tasks = [asyncio.create_task(text_of(dispatcher)) for _ in range(2)]
        await asyncio.sleep(1)
        fleet.publish((engine("m", max_num_seqs=1), engine("m", replica=1)))
        await asyncio.gather(*tasks)
        assert [asked.engine_id for asked in client.asked] == ["m-0", "m-1"]
        assert client.asked[1].at_s == pytest.approx(1001.0, abs=0.2)

    run(main())


def test_a_full_house_says_so() -> None:
    async def main() -> None:
        limits = AdmissionLimits(max_waiting=1, max_wait_s=3)
        dispatcher, _, _ = built(lambda call, ctx: Reply("x", delay_s=60), engine("m", max_num_seqs=1), limits=limits)
        first, second = (asyncio.create_task(text_of(dispatcher, request_id=name)) for name in ("r1", "r2"))
        await asyncio.sleep(0.5)
        with pytest.raises(Overloaded, match="1 calls wait already") as turned_away:
            await text_of(dispatcher, request_id="r3")
        assert turned_away.value.retry_after_s == 3
        with pytest.raises(Overloaded, match=r"no room within 3\.0 s") as caught:
            await second
        assert caught.value.retry_after_s > 3  # after the one that was refused before
        assert await first == "x"

    run(main())


def test_a_cancelled_call_leaves_the_line_and_its_engine() -> None:
    async def main() -> None:
        dispatcher, client, _ = built(lambda call, ctx: Reply("x", delay_s=5), engine("m", max_num_seqs=1))
        first, second, third = (asyncio.create_task(text_of(dispatcher)) for _ in range(3))
        await asyncio.sleep(1)
        for task in (second, first):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert client.aborted == 1
        assert await third == "x"
        assert client.asked[-1].at_s == pytest.approx(1001.0)
        assert (dispatcher.in_flight, dispatcher.waiting) == ({}, {})

    run(main())
