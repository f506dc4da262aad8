from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from appliance.dispatch.admission import AdmissionLimits
from appliance.dispatch.breaker import BreakerState, Sign
from appliance.dispatch.dispatcher import Dispatcher, Sent
from appliance.dispatch.places import Under, sign_of
from appliance.dispatch.priority import PATIENCE_S
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.model import Role
from appliance.domain.policy import DataPolicy
from appliance.domain.request import CallContext, EngineCall
from appliance.domain.use_rule import UseRule
from appliance.errors import ApplianceError, ContextTooLong, EngineRejected, EngineUnavailable, NotAllowed, Overloaded
from tests.coordinator.house import engine
from tests.fakes.scripted_client import Reply, Script, ScriptedClient
from tests.fakes.virtual_time import run

CALL = EngineCall("m", ({"role": "user", "content": "hi"},), 8)


def context(deadline_s: float = 2000.0, request_id: str = "r") -> CallContext:
    return CallContext(request_id, "t", "s1", Role.EXECUTOR, "acme", 0, deadline_s, 100, "salt")


def built(
    script: Script, *engines: EngineStatus, limits: AdmissionLimits | None = None
) -> tuple[Dispatcher, ScriptedClient, Fleet]:
    fleet, client = Fleet(), ScriptedClient(script)
    fleet.publish(engines)
    return Dispatcher(fleet, client, asyncio.get_running_loop().time, limits), client, fleet


async def text_of(
    dispatcher: Dispatcher, on_sent: Callable[[Sent], None] = lambda _: None, request_id: str = "r"
) -> str:
    return "".join([chunk.text async for chunk in dispatcher.stream(CALL, context(request_id=request_id), on_sent)])


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


async def _order_of(calls: dict[str, CallContext]) -> list[str]:
    """Who is sent in which order, where all come while the only slot is taken."""
    dispatcher, client, _ = built(lambda call, ctx: Reply("x", delay_s=2), engine("m", max_num_seqs=1))

    async def one(ctx: CallContext) -> None:
        async for _ in dispatcher.stream(CALL, ctx):
            pass

    tasks = [asyncio.create_task(one(context(request_id="before")))]
    for name, ctx in calls.items():
        await asyncio.sleep(0.01)
        tasks.append(asyncio.create_task(one(replace(ctx, task_id=name))))
    await asyncio.gather(*tasks)
    return [asked.ctx.task_id for asked in client.asked[1:]]


def test_little_left_goes_before_much_left_and_a_long_path_before_a_short_one() -> None:
    async def main() -> None:
        large, small = (replace(context(request_id=name), calls_left=left) for name, left in (("l", 20), ("s", 2)))
        calls = {"short": large, "long": replace(large, calls_after=3), "small": small, "new": context(request_id="n")}
        assert await _order_of(calls) == ["new", "small", "long", "short"]

    run(main())


def test_a_request_that_had_much_waits_for_one_that_had_little() -> None:
    async def main() -> None:
        dispatcher, client, _ = built(lambda call, ctx: Reply("x", delay_s=9), engine("m", max_num_seqs=1))
        with dispatcher.opened("much"):
            await text_of(dispatcher, request_id="much")
            tasks = []
            for name in ("before", "much", "little"):
                tasks.append(asyncio.create_task(text_of(dispatcher, request_id=name)))
                await asyncio.sleep(0.1)
            assert dispatcher.open_requests == 3
            await asyncio.gather(*tasks)
        assert [asked.ctx.request_id for asked in client.asked] == ["much", "before", "little", "much"]
        assert dispatcher.open_requests == 0

    run(main())


def test_who_is_too_late_lets_others_by() -> None:
    async def main() -> None:
        late = replace(context(deadline_s=1006.0, request_id="late"), calls_after=1)
        assert await _order_of({"late": late, "other": context(request_id="o")}) == ["other", "late"]

    run(main())


def test_nobody_is_overtaken_for_ever() -> None:
    """Small requests come all the time, one more than there is room for; a large one waits for its patience only."""

    async def main() -> None:
        limits = AdmissionLimits(max_waiting=1000, max_wait_s=5000)
        dispatcher, client, _ = built(
            lambda call, ctx: Reply("x", delay_s=10), engine("m", max_num_seqs=1), limits=limits
        )
        large = replace(context(deadline_s=9000, request_id="large"), calls_left=60)
        small = replace(context(deadline_s=9000), calls_left=1)

        async def ask(ctx: CallContext) -> None:
            async for _ in dispatcher.stream(CALL, ctx):
                pass

        tasks = []
        for number in range(100):
            tasks.append(asyncio.create_task(ask(replace(small, request_id=f"s{number}"))))
            if number == 1:
                tasks.append(asyncio.create_task(ask(large)))
            await asyncio.sleep(9)
        await asyncio.gather(*tasks)
        (waited_s,) = (asked.at_s - 1009 for asked in client.asked if asked.ctx.request_id == "large")
        assert PATIENCE_S <= waited_s <= PATIENCE_S + 10

    run(main())


def test_who_waits_can_be_seen_by_level() -> None:
    async def main() -> None:
        dispatcher, _, _ = built(lambda call, ctx: Reply("x", delay_s=5), engine("m", max_num_seqs=1))
        contexts = [replace(context(request_id=f"r{left}"), calls_left=left) for left in (1, 1, 20, 2)]

        async def ask(ctx: CallContext) -> None:
            async for _ in dispatcher.stream(CALL, ctx):
                pass

        tasks = [asyncio.create_task(ask(ctx)) for ctx in contexts]
        await asyncio.sleep(2)
        assert dispatcher.lines.levels() == {("m", 0): 1, ("m", 7): 1, ("m", 1): 1}
        assert dispatcher.lines.longest_waits_s() == {"m": pytest.approx(2)}
        await asyncio.gather(*tasks)
        assert (dispatcher.lines.levels(), dispatcher.lines.longest_waits_s()) == ({}, {})

    run(main())


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
