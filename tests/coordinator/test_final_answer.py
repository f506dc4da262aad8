"""What the caller says of tools, form and sampling holds for the final answer, and for nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from appliance.coordinator.final_answer import cut_at_stop
from appliance.domain.request import AnswerEvent, CallContext, ChatMessage, ContentDelta, EngineCall
from appliance.domain.tenant import Tenant
from appliance.errors import AnswerInvalid, EngineUnavailable
from tests.coordinator.house import CHAIN, OPTIONS, QUESTION, House, asks, content, events_of, finished, house, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

TOOLS = [{"type": "function", "function": {"name": "sell", "parameters": {"type": "object"}}}]
SCHEMA = {"type": "object", "properties": {"left": {"type": "integer"}}, "required": ["left"]}
FORM = {"type": "json_schema", "json_schema": {"name": "left", "strict": True, "schema": SCHEMA}}
WRITERS = ("writer", "writer-2")
ROLES = replace(OPTIONS.roles, synthesizer=WRITERS, tool_callers=frozenset(WRITERS))
SETS = dict.fromkeys((*WRITERS, "generalist"), "instruct")


def team(answers: dict[str, Reply | str]) -> House:
    """The starter team with two synthesizers; `answers` are those of models that speak last."""

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "planner":
            return CHAIN
        return answers.get(call.model_id) or sound(call, ctx)

    return house(script, options=replace(OPTIONS, roles=ROLES), prompt_sets=SETS)


def test_tools_form_and_sampling_reach_the_synthesizer_alone() -> None:
    wishes = {
        **{"tools": TOOLS, "tool_choice": "auto", "response_format": FORM, "stop": ["STOP"], "temperature": 0.3},
        **{"top_p": 0.9, "seed": 11, "presence_penalty": 0.1},
    }

    async def main() -> None:
        built = team({"writer": '{"left": 79}'})
        events = await events_of(built, asks(sampling=wishes, max_tokens=20))
        assert content(events) == '{"left": 79}'
        assert finished(events).strategy == "plan_execute_verify"
        for asked in built.client.asked:
            if asked.call.model_id == "writer":
                assert {name: asked.call.params[name] for name in wishes} == wishes
                assert asked.call.max_tokens == 20
            else:
                assert not {"tools", "tool_choice", "response_format", "stop", "top_p"} & asked.call.params.keys()
                assert asked.call.max_tokens == 64

    run(main())


def test_the_synthesizer_calls_tools() -> None:
    delta = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "sell", "arguments": '{"pens": 5}'}}]}

    async def main() -> None:
        built = team({"writer": Reply(pieces=("",), raw_delta=delta, finish_reason="tool_calls")})
        events = await events_of(built, asks(sampling={"tools": TOOLS, "response_format": FORM}))
        assert finished(events).finish_reason == "tool_calls"
        assert [event.raw_delta for event in events if isinstance(event, ContentDelta)] == [delta]
        assert not built.client.prompts("generalist")

    run(main())


def test_the_system_text_and_the_turns_reach_the_synthesizer_as_such() -> None:
    talk = (
        ChatMessage("system", "Answer in French."),
        ChatMessage("user", "Hello"),
        ChatMessage("assistant", "Bonjour"),
        ChatMessage("user", QUESTION),
    )

    async def main() -> None:
        built = team({"writer": "Soixante-dix-neuf"})
        await events_of(built, replace(asks(), messages=talk))
        (asked,) = (asked for asked in built.client.asked if asked.call.model_id == "writer")
        system, *turns, last = asked.call.messages
        assert system["role"] == "system"
        assert system["content"].endswith("\nAnswer in French.")
        assert [turn["content"] for turn in turns] == ["Hello", "Bonjour"]
        assert last["content"].startswith(QUESTION)
        assert '"84-5" → "79"' in last["content"]

    run(main())


@pytest.mark.parametrize(
    ("answers", "said", "strategy"),
    [
        ({"writer": "seventy-nine", "writer-2": '{"left": 79}'}, '{"left": 79}', "plan_execute_verify"),
        ({"writer": "no", "writer-2": '{"left": "79"}', "generalist": '{"left": 78}'}, '{"left": 78}', "direct"),
    ],
)
def test_a_whole_answer_of_another_form_is_never_shown(answers: dict[str, Any], said: str, strategy: str) -> None:
    async def main() -> None:
        built = team(answers)
        events = await events_of(built, asks(sampling={"response_format": FORM}, streamed=False))
        assert content(events) == said
        assert finished(events).strategy == strategy
        assert "not what response_format asks for" in built.trace.fallbacks[0].reason

    run(main())


def test_without_any_answer_of_the_form_the_caller_is_told() -> None:
    async def main() -> None:
        built = team(dict.fromkeys((*WRITERS, "generalist"), "79"))
        with pytest.raises(AnswerInvalid, match="answer of generalist is not what response_format asks for: `type`"):
            await events_of(built, asks(sampling={"response_format": FORM}, streamed=False))

    run(main())


def test_a_streamed_answer_comes_as_it_is_made_and_ends_in_the_error() -> None:
    async def main() -> None:
        built = team({"writer": Reply(pieces=('{"left"', ": ", '"79"}'), delay_s=1.0)})
        heard: list[AnswerEvent] = []
        stream = built.coordinator.answer(
            asks(sampling={"response_format": FORM}, streamed=True, show_progress=False),
            request_id="r1",
            trace_id="t1",
            tenant=Tenant("acme"),
        )
        with pytest.raises(AnswerInvalid, match="answer of writer"):
            await _hear(stream, heard)
        assert content(heard) == '{"left": "79"}'
        assert len(heard) == 3

    run(main())


async def _hear(stream: AsyncIterator[AnswerEvent], heard: list[AnswerEvent]) -> None:
    async for event in stream:
        heard.append(event)


def test_an_answer_cut_short_promises_nothing() -> None:
    async def main() -> None:
        built = team({"writer": Reply('{"left"', finish_reason="length")})
        events = await events_of(built, asks(sampling={"response_format": FORM}, max_tokens=2))
        assert content(events) == '{"left"'
        assert finished(events).finish_reason == "length"

    run(main())


def test_without_a_synthesizer_that_works_a_form_is_kept_by_the_generalist() -> None:
    async def main() -> None:
        down = Reply("", error=EngineUnavailable("gone"))
        built = team({"writer": down, "writer-2": down, "generalist": '{"left": 79}'})
        events = await events_of(built, asks(sampling={"response_format": FORM}))
        assert content(events) == '{"left": 79}'
        (asked,) = (asked for asked in built.client.asked if asked.call.model_id == "generalist")
        assert asked.call.params["response_format"] == FORM

    run(main())


def test_stop_cuts_the_answer_and_not_the_working() -> None:
    async def main() -> None:
        built = house()
        events = await events_of(built, asks(sampling={"stop": ["9"]}))
        assert content(events) == "7"
        assert all("stop" not in asked.call.params for asked in built.client.asked)

    async def directly() -> None:
        built = house()
        events = await events_of(built, asks("hello", sampling={"stop": ["9"]}))
        assert finished(events).strategy == "direct"
        assert content(events) == "7"
        assert "stop" not in built.client.asked[0].call.params

    run(main())
    run(directly())


def test_stop_sequences_are_left_out_and_the_first_one_counts() -> None:
    assert cut_at_stop("one two three", ["three", " two"]) == "one"
    assert cut_at_stop("one", ["two"]) == "one"
    assert cut_at_stop("one", None) == "one"
