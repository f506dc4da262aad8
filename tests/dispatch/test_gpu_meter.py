"""Device-seconds: every busy second of an engine is charged once, and to the calls that were there."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dispatch.gpu_meter import GpuMeter, Receipt
from appliance.errors import EngineUnavailable
from tests.coordinator.house import engine
from tests.dispatch.calls import CALL, built, context
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

SPANS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 50), st.integers(0, 50)).map(lambda s: (s[0], s[1], s[1] + s[2])),
    max_size=40,
)
"""Calls as (engine, begin, end)."""


def busy_s(spans: list[tuple[int, int, int]], number: int) -> int:
    """Whole seconds in which any call was on the engine."""
    return sum(any(n == number and begin <= second < end for n, begin, end in spans) for second in range(100))


@given(SPANS, st.tuples(*[st.integers(1, 8)] * 3), st.lists(st.integers(-100, 100), max_size=20))
def test_charges_add_up_to_the_busy_time(
    spans: list[tuple[int, int, int]], devices: tuple[int, int, int], looks: list[int]
) -> None:
    meter = GpuMeter()
    receipts = [meter.receipt() for _ in spans]
    events = sorted(
        [(begin, 1, index) for index, (_, begin, _) in enumerate(spans)]
        + [(end, 2, index) for index, (_, _, end) in enumerate(spans)]
    )
    for at_s, kind, index in events:
        number = spans[index][0]
        if kind == 1:
            receipts[index].begin(str(number), devices[number], at_s)
        else:
            receipts[index].end(at_s)
        for look in looks[:2]:  # reading it, even with a clock that went back, changes nothing
            receipts[abs(look) % len(spans)].gpu_s(min(at_s, at_s + look))
    charged = sum(receipt.gpu_s(1000) for receipt in receipts)
    assert charged == pytest.approx(sum(busy_s(spans, number) * devices[number] for number in range(3)))
    assert all(receipt.gpu_s(1000) >= 0 for receipt in receipts)
    assert meter.idle


def test_two_calls_share_the_devices_while_both_are_there() -> None:
    meter = GpuMeter()
    first, second = meter.receipt(), meter.receipt()
    first.begin("e", 2, 10.0)
    second.begin("e", 2, 14.0)
    assert first.gpu_s(14.0) == 8.0
    first.end(18.0)
    second.end(20.0)
    assert (first.gpu_s(99.0), second.gpu_s(99.0)) == (12.0, 8.0)


def test_an_end_without_a_beginning_charges_nothing() -> None:
    receipt = GpuMeter().receipt()
    receipt.end(5.0)
    assert receipt.gpu_s(9.0) == 0.0


def test_a_clock_that_goes_back_charges_no_second_twice() -> None:
    receipt = GpuMeter().receipt()
    receipt.begin("e", 1, 10.0)
    assert [receipt.gpu_s(at_s) for at_s in (12.0, 7.0, 13.0)] == [2.0, 2.0, 3.0]


def test_the_dispatcher_charges_both_engines_of_a_call_that_was_sent_twice() -> None:
    async def main() -> None:
        dispatcher, client, _ = built(lambda call, ctx: "", engine("m"), engine("m", replica=1))
        refused = Reply("a", delay_s=3.0, error=EngineUnavailable("reset"))
        client.script = lambda call, ctx: refused if len(client.asked) == 1 else Reply("a b", delay_s=1.0)
        receipts: list[Receipt] = []
        async for _ in dispatcher.stream(CALL, context(), lambda sent: receipts.append(sent.receipt)):
            pass
        assert receipts[0] is receipts[1]
        assert receipts[0].gpu_s(asyncio.get_running_loop().time()) == pytest.approx(2.0)

    run(main())


def test_calls_beside_each_other_pay_for_four_gpus_together() -> None:
    async def main() -> None:
        four = replace(engine("m"), devices=4)
        dispatcher, _, _ = built(lambda call, ctx: Reply("x", delay_s=2.0), four)
        receipts: list[Receipt] = []

        async def one() -> None:
            async for _ in dispatcher.stream(CALL, context(), lambda sent: receipts.append(sent.receipt)):
                pass

        await asyncio.gather(*(one() for _ in range(5)))
        now_s = asyncio.get_running_loop().time()
        assert [receipt.gpu_s(now_s) for receipt in receipts] == pytest.approx([4 * 2.0 / 5] * 5)

    run(main())


def test_a_call_that_its_caller_leaves_is_charged_until_then() -> None:
    async def main() -> None:
        dispatcher, _, _ = built(lambda call, ctx: Reply("a b c d", delay_s=1.0), engine("m"))
        receipts: list[Receipt] = []
        stream = dispatcher.stream(CALL, context(), lambda sent: receipts.append(sent.receipt))
        await anext(stream)
        await stream.aclose()
        await asyncio.sleep(50)
        assert receipts[0].gpu_s(asyncio.get_running_loop().time()) == pytest.approx(1.0)
        assert dispatcher.in_flight == {}

    run(main())
