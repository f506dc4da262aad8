"""Without a synthesizer the last task's result is the answer: said while it is made, unless it may be rejected."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from appliance.domain.request import AnswerEvent, CallContext, ContentDelta, EngineCall, ReasoningDelta
from appliance.domain.tenant import Tenant
from appliance.errors import EngineUnavailable
from tests.coordinator.house import OPTIONS, House, asks, content, events_of, finished, house, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

CHAIN = '{"steps": [{"id": "s1", "skill": "math", "do": "12*7"}, {"id": "s2", "skill": "text", "do": "tell $s1"}]}'
TRUSTING = replace(OPTIONS, verification=replace(OPTIONS.verification, enabled=False))
TOLD = Reply(pieces=("There", " are", " 84", "."), delay_s=1.0)


def told(reply: Reply = TOLD, *, verified: bool = False) -> House:
    """A team whose last executor is an instruct model that takes a second for each word."""

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "planner":
            return CHAIN
        if call.model_id == "verifier":
            return Reply("w;pass", probability=0.9)
        if call.model_id == "math":
            return Reply(pieces=("w;84",), delay_s=1.0)  # the plan is whole before the last step begins
        return reply if call.model_id == "text" else sound(call, ctx)

    return house(script, options=OPTIONS if verified else TRUSTING, prompt_sets={"text": "instruct"})


async def timed(built: House) -> list[tuple[float, AnswerEvent]]:
    """The events of a streamed answer, each with the whole second in which it came."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    stream = built.coordinator.answer(asks(streamed=True), request_id="r", trace_id="t", tenant=Tenant("acme"))
    return [(round(loop.time() - started_s), event) async for event in stream]


def test_words_of_a_result_that_nobody_may_reject_come_as_they_are_made() -> None:
    async def main() -> None:
        built = told()
        events = await timed(built)
        words = [(at_s, event.text) for at_s, event in events if isinstance(event, ContentDelta)]
        assert words == [(2, "There"), (3, " are"), (4, " 84"), (5, ".")]
        assert finished([event for _, event in events]).finish_reason == "stop"
        assert [task.task_id for task in built.trace.tasks] == ["s1", "s2"]
        assert built.client.prompts("text") == [built.client.prompts("text")[0]], "said once, asked once"

    run(main())


def test_a_result_that_may_be_rejected_waits_for_its_verdict() -> None:
    async def main() -> None:
        events = await timed(told(verified=True))
        words = [(at_s, event.text) for at_s, event in events if isinstance(event, ContentDelta)]
        assert words == [(5, "There are 84.")]
        assert any(isinstance(event, ReasoningDelta) and at_s < 5 for at_s, event in events)

    run(main())


def test_what_the_caller_says_of_sampling_holds_for_the_last_result() -> None:
    async def main() -> None:
        built = told(replace(TOLD, finish_reason="length"))
        events = await events_of(built, asks(max_tokens=4, sampling={"stop": ["!"], "top_p": 0.5}))
        assert content(events) == "There are 84."
        assert finished(events).finish_reason == "length"
        last = next(asked.call for asked in built.client.asked if asked.call.model_id == "text")
        assert (last.max_tokens, last.params["stop"], last.params["top_p"]) == (4, ["!"], 0.5)
        first = next(asked.call for asked in built.client.asked if asked.call.model_id == "math")
        assert first.max_tokens == 64
        assert not {"stop", "top_p"} & first.params.keys()

    run(main())


def test_an_executor_that_breaks_off_before_anything_was_read_is_replaced_by_the_generalist() -> None:
    async def main() -> None:
        built = told(replace(TOLD, error=EngineUnavailable("gone"), pieces_before_error=2))
        events = await events_of(built, asks(streamed=False))
        assert finished(events).strategy == "direct"
        assert content(events) == "79"

    run(main())


def test_one_that_breaks_off_in_the_middle_of_a_stream_ends_it() -> None:
    async def main() -> None:
        built = told(replace(TOLD, error=EngineUnavailable("gone"), pieces_before_error=2))
        with pytest.raises(EngineUnavailable, match="gone"):
            await timed(built)

    run(main())
