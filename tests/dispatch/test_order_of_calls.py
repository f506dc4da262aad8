"""Which waiting call goes next."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from appliance.dispatch.admission import AdmissionLimits
from appliance.dispatch.priority import PATIENCE_S
from appliance.domain.request import CallContext
from tests.coordinator.house import engine
from tests.dispatch.calls import CALL, built, context, text_of
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run


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
