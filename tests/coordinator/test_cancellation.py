from __future__ import annotations

import asyncio
from contextlib import suppress

from appliance.domain.request import CallContext, EngineCall, Usage
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Outcome
from tests.coordinator.house import FORK, House, asks, house, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run


def _two_hang(call: EngineCall, ctx: CallContext) -> Reply | str:
    if call.model_id == "planner":
        return FORK
    if call.model_id == "math":
        return Reply(pieces=("1", "*"), hangs=True)
    return sound(call, ctx)


async def _consume(built: House) -> None:
    stream = built.coordinator.answer(asks(), request_id="r", trace_id="t", tenant=Tenant("acme"))
    async for _ in stream:
        pass


async def _all_hang(built: House) -> None:
    await asyncio.sleep(1)
    assert built.client.open_streams == 2


def _check(built: House) -> None:
    assert (built.client.open_streams, built.client.aborted) == (0, 2)
    assert built.dispatcher.in_flight == {}
    trace = built.trace
    assert (trace.outcome, trace.error) == (Outcome.CANCELLED, "")
    cut = [call for call in trace.calls if call.outcome is Outcome.CANCELLED]
    assert [call.usage.completion_tokens for call in cut] == [2, 2]
    assert all(call.usage_estimated and call.usage.prompt_tokens > 0 for call in cut)
    assert trace.usage == sum((call.usage for call in trace.calls), Usage())
    assert [task.outcome for task in trace.tasks] == [Outcome.CANCELLED, Outcome.CANCELLED, Outcome.SKIPPED]


def test_a_cancelled_caller_stops_every_call_below() -> None:
    async def main() -> None:
        built = house(_two_hang)
        consumer = asyncio.create_task(_consume(built))
        await _all_hang(built)
        began_s = asyncio.get_running_loop().time()
        consumer.cancel()
        with suppress(asyncio.CancelledError):
            await consumer
        assert asyncio.get_running_loop().time() - began_s < 0.1
        _check(built)

    run(main())


def test_closing_the_answer_stops_every_call_below() -> None:
    async def main() -> None:
        built = house(_two_hang)
        stream = built.coordinator.answer(asks(), request_id="r", trace_id="t", tenant=Tenant("acme"))
        await anext(stream)
        await anext(stream)
        await _all_hang(built)
        await stream.aclose()
        _check(built)

    run(main())


def test_closing_the_coordinator_ends_what_runs_and_saves_its_trace() -> None:
    async def main() -> None:
        built = house(_two_hang)
        consumer = asyncio.create_task(_consume(built))
        await _all_hang(built)
        await built.coordinator.close()
        _check(built)
        with suppress(asyncio.CancelledError):
            await consumer

    run(main())


def test_a_trace_that_cant_be_saved_does_not_cost_the_answer() -> None:
    class Broken:
        async def save(self, trace: object) -> None:
            raise OSError("disk full")

    async def main() -> None:
        built = house()
        built.coordinator._traces = Broken()
        await _consume(built)

    run(main())
