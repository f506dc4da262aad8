"""`/v1/responses` by the stock client: items, forms, tools, streams and refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import orjson
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from appliance.domain.request import ContentDelta, Finished, ReasoningDelta, Usage
from appliance.errors import EngineRejected, InvalidRequest
from appliance.gateway.openai.body import DEFAULT_LIMITS
from appliance.gateway.openai.responses.body import REFUSED, parse
from tests.fakes.fake_coordinator import finished
from tests.gateway.door import call, house
from tests.gateway.pool import Pool, pool

HARD = "Mia has 12 boxes with 7 pens each and then gives away 5. How many are left?"
SELL: Any = {
    "type": "function",
    "name": "sell",
    "description": "Sell pens.",
    "parameters": {"type": "object", "properties": {"pens": {"type": "integer"}}, "required": ["pens"]},
    "strict": False,
}
TRADE = "Sell 5 of them."


class Stock(BaseModel):
    """What the caller wants to get."""

    left: int
    unit: str


def with_pool(test: Callable[[Pool], Awaitable[None]], **how: Any) -> None:
    async def main() -> None:
        async with pool(**how) as built:
            await test(built)

    asyncio.run(main())


def body(**fields: Any) -> bytes:
    return orjson.dumps({"model": "auto", "input": "hello", **fields})


def test_an_orchestrated_response_whole_and_streamed() -> None:
    async def test(built: Pool) -> None:
        whole = await built.client.responses.create(model="auto", input=HARD, instructions="Be brief.", temperature=0)
        assert whole.output_text == "There are 79 pens left."
        assert (whole.status, whole.object, whole.instructions) == ("completed", "response", "Be brief.")
        assert [item.type for item in whole.output] == ["reasoning", "message"]
        assert whole.usage is not None
        assert whole.usage.output_tokens > 6
        assert (whole.model_extra or {})["appliance"]["strategy"] == "plan_execute_verify"
        stream = await built.client.responses.create(model="auto", input=HARD, stream=True)
        events = [event async for event in stream]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        kinds = [event.type for event in events]
        assert kinds[:2] == ["response.created", "response.in_progress"]
        assert kinds[-4:] == [
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert "response.reasoning_text.delta" in kinds
        said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert said == "There are 79 pens left."
        assert events[-1].type == "response.completed"
        assert events[-1].response.output_text == said
        assert len(built.traces.saved) == 2

    with_pool(test)


def test_the_stream_helper_of_the_client_gathers_the_same() -> None:
    async def test(built: Pool) -> None:
        async with built.client.responses.stream(model="generalist", input=HARD) as stream:
            snapshots = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
            final = await stream.get_final_response()
        assert snapshots[-1] == final.output_text == "There are 79 pens left."
        (asked,) = built.bodies("generalist")
        assert asked["messages"] == [{"role": "user", "content": HARD}]

    with_pool(test)


def test_a_form_is_parsed() -> None:
    async def test(built: Pool) -> None:
        parsed = await built.client.responses.parse(model="auto", input=HARD, text_format=Stock)
        assert parsed.output_parsed == Stock(left=79, unit="pens")
        assert parsed.text is not None
        assert parsed.text.format is not None
        assert parsed.text.format.type == "json_schema"
        (asked,) = built.bodies("writer")
        named = asked["response_format"]["json_schema"]
        assert (named["name"], named["strict"]) == ("Stock", True)
        assert named["schema"]["required"] == ["left", "unit"]

    with_pool(test)


def test_tools_are_called_and_their_outputs_go_on_in_the_conversation() -> None:
    async def test(built: Pool) -> None:
        asked: list[Any] = [{"role": "user", "content": TRADE}]
        first = await built.client.responses.create(model="generalist", input=asked, tools=[SELL], tool_choice="auto")
        (called,) = first.output
        assert called.type == "function_call"
        assert (called.call_id, called.name, json.loads(called.arguments)) == ("call_1", "sell", {"pens": 5})
        stream = await built.client.responses.create(model="generalist", input=asked, tools=[SELL], stream=True)
        events = [event async for event in stream]
        pieces = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
        assert pieces == ['{"pens":', " 5}"]
        assert [event.arguments for event in events if event.type == "response.function_call_arguments.done"] == [
            '{"pens": 5}'
        ]
        told: Any = {"type": "function_call_output", "call_id": "call_1", "output": "sold"}
        asked += [called.model_dump(), told]
        done = await built.client.responses.create(model="generalist", input=asked, tools=[SELL])
        assert done.output_text == "There are 79 pens left."
        messages = built.bodies("generalist")[-1]["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
        assert messages[1]["tool_calls"][0]["function"] == {"name": "sell", "arguments": '{"pens": 5}'}
        assert messages[2] == {"role": "tool", "content": "sold", "tool_call_id": "call_1"}
        assert built.bodies("generalist")[0]["tools"][0] == {
            "type": "function",
            "function": {key: SELL[key] for key in ("name", "description", "parameters")},
        }

    with_pool(test)


def test_logprobs_of_the_text() -> None:
    async def test(built: Pool) -> None:
        whole = await built.client.responses.create(
            model="generalist", input=HARD, include=["message.output_text.logprobs"], top_logprobs=1
        )
        (message,) = whole.output
        assert message.type == "message"
        (part,) = message.content
        assert part.type == "output_text"
        assert part.logprobs is not None
        assert "".join(one.token for one in part.logprobs) == part.text
        assert len(part.logprobs[0].top_logprobs) == 1

    with_pool(test)


def test_all_kinds_of_input_become_one_conversation() -> None:
    png = "data:image/png;base64,iVBORw0KGgoAAAAN"
    said = parse(
        body(
            instructions="Be kind.",
            input=[
                {"role": "developer", "content": "Be brief."},
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "look"},
                    {"type": "input_image", "image_url": png, "detail": "low"}]},
                {"type": "reasoning", "id": "rs_1", "summary": [], "content": []},
                {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [
                    {"type": "output_text", "text": "I see.", "annotations": []}]},
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "1"}]},
                {"type": "function_call_output", "call_id": "b", "output": "2"},
            ],
        ),
        DEFAULT_LIMITS,
    ).to_domain()  # fmt: skip
    assert [message.role for message in said.messages] == ["system", "system", "user", "assistant", "tool", "tool"]
    assert [part["type"] for part in said.messages[2].parts] == ["text", "image_url"]
    assert said.messages[3].content == "I see."
    assert [one["id"] for one in said.messages[3].extra["tool_calls"]] == ["a", "b"]
    assert [message.content for message in said.messages[4:]] == ["1", "2"]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "send the whole conversation"),
        ({"store": True}, "store", "nothing is kept"),
        ({"background": True}, "background", "while the caller waits"),
        ({"conversation": "c"}, "conversation", "nothing is kept"),
        ({"input": []}, "input", "not empty"),
        ({"input": [5]}, "input[0]", "object"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type", "nothing is stored"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type", "computer_call"),
        ({"input": [{"role": "king", "content": "x"}]}, "input[0].role", "developer"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]", "input_file"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x/y.png"}]}]},
            "input[0].content[0].image_url",
            "nothing is fetched",
        ),
        ({"input": [{"role": "user", "content": [{"type": {"a": 1}}]}]}, "input[0].content[0]", "not supported"),
        ({"input": [{"type": ["a"]}]}, "input[0].type", "not supported"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].arguments", "string"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "function"),
        ({"tool_choice": {"type": "hosted"}}, "tool_choice", "auto"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema", "needs it"),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "whole"}}}},
            "text.format.schema",
            "whole",
        ),
        ({"truncation": "auto"}, "truncation", "disabled"),
        ({"include": ["file_search_call.results"]}, "include[0]", "logprobs"),
        ({"messages": []}, "messages", "unknown field"),
    ],
)
def test_what_is_not_taken_is_refused_by_name(fields: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as refused:
        parse(body(**fields), DEFAULT_LIMITS)
    assert refused.value.param == param


def test_what_says_the_same_as_nothing_is_taken() -> None:
    parse(body(store=False, background=False, truncation="disabled"), DEFAULT_LIMITS)
    parse(body(**dict.fromkeys(REFUSED, None)), DEFAULT_LIMITS)


def test_an_answer_that_is_cut_is_incomplete() -> None:
    target = house(ContentDelta("The"), finished("t", reason="length"))
    said = call(target.app, path="/v1/responses", body=body()).json()
    assert (said["status"], said["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert said["output"][0]["status"] == "incomplete"
    stream = call(target.app, path="/v1/responses", body=body(stream=True)).body
    assert stream.rstrip().rpartition(b"event: ")[2].startswith(b"response.incomplete")


def test_an_error_in_the_middle_of_a_stream_ends_it_as_failed() -> None:
    target = house(ContentDelta("The"), EngineRejected("the engine failed", status=500))
    stream = call(target.app, path="/v1/responses", body=body(stream=True)).body.decode()
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    assert [event["type"] for event in events][-2:] == ["error", "response.failed"]
    assert events[-2]["code"] == "engine_error"
    assert events[-1]["response"]["status"] == "failed"
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "The"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_working_between_two_texts_is_an_item_of_its_own() -> None:
    target = house(ReasoningDelta("a"), ContentDelta("one"), ReasoningDelta("b"), ContentDelta("two"))
    said = call(target.app, path="/v1/responses", body=body()).json()
    assert [item["type"] for item in said["output"]] == ["reasoning", "message", "reasoning", "message"]
    assert len({item["id"] for item in said["output"]}) == 4
    assert Response.model_validate(said).output_text == "onetwo"


def test_errors_before_the_first_byte_keep_their_status() -> None:
    async def test(built: Pool) -> None:
        for stream in (False, True):
            with pytest.raises(openai.NotFoundError) as raised:
                await built.client.responses.create(model="gpt-9", input="x", stream=stream)
            assert raised.value.code == "model_not_found"

    with_pool(test)


def test_usage_of_the_last_event_is_the_sum() -> None:
    last = Finished("stop", Usage(7, 3, 2), "t", "direct", 1)
    said = call(house(ContentDelta("x"), last).app, path="/v1/responses", body=body()).json()
    assert said["usage"]["input_tokens_details"]["cached_tokens"] == 2
    assert (said["usage"]["input_tokens"], said["usage"]["output_tokens"], said["usage"]["total_tokens"]) == (7, 3, 10)
