"""The stock `openai` client against the whole request path: orchestrated answers, tools, forms, errors."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from openai.lib.streaming.chat import ChunkEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from appliance.domain.model import Role
from appliance.gateway import sse
from tests.coordinator.house import QUESTION
from tests.fakes.answers import Fault, FaultKind
from tests.gateway.door import KEY
from tests.gateway.pool import MODELS, TEAM, Pool, pool

SELL = {
    "type": "function",
    "function": {
        "name": "sell",
        "description": "Sell pens.",
        "parameters": {"type": "object", "properties": {"pens": {"type": "integer"}}, "required": ["pens"]},
    },
}
HARD: list[Any] = [{"role": "user", "content": QUESTION}]
TRADE: list[Any] = [{"role": "user", "content": "Sell each fifth pen, then tell me how many are left."}]
INNER = ("planner", "math", "math-2", "text", "verifier")


class Stock(BaseModel):
    """What the caller wants to get."""

    left: int
    unit: Literal["pens", "boxes"]


def with_pool(test: Callable[[Pool], Awaitable[None]], **how: Any) -> None:
    async def main() -> None:
        async with pool(**how) as built:
            await test(built)

    asyncio.run(main())


def test_an_orchestrated_answer_whole_and_streamed() -> None:
    async def test(built: Pool) -> None:
        whole = await built.client.chat.completions.create(model="auto", messages=HARD, seed=5, temperature=0)
        about = (whole.model_extra or {})["appliance"]
        assert about["strategy"] == "plan_execute_verify"
        assert set(about["usage_by_role"]) == {"planner", "executor", "verifier", "synthesizer"}
        assert whole.choices[0].message.content == "There are 79 pens left."
        stream = await built.client.chat.completions.create(
            model="auto",
            messages=HARD,
            seed=5,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        assert "".join(delta.content or "" for delta in deltas) == "There are 79 pens left."
        assert sum(bool(delta.content) for delta in deltas) == 6, "the synthesizer's own tokens, one by one"
        working = "".join((delta.model_extra or {}).get("reasoning_content") or "" for delta in deltas)
        assert "planner: 2 tasks" in working
        assert chunks[-1].choices == []
        assert chunks[-1].usage == whole.usage
        first, second = built.traces.saved
        assert first.tasks == second.tasks
        assert whole.usage is not None
        assert whole.usage.completion_tokens == sum(call.usage.completion_tokens for call in first.calls)

    with_pool(test)


def test_what_the_documentation_shows_works() -> None:
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    script = text.split("```python\n", 1)[1].split("```", 1)[0]

    async def test(built: Pool) -> None:
        environment = {"APPLIANCE_URL": str(built.client.base_url).removesuffix("/v1/"), "APPLIANCE_API_KEY": KEY}
        shown = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await shown.communicate()
        assert output.decode().splitlines() == ["There are 79 pens left.", "left=79 unit='pens'"]

    with_pool(test)


def test_without_progress_the_stream_still_begins_at_once() -> None:
    async def test(built: Pool) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        stream = await built.client.chat.completions.create(
            model="auto", messages=HARD, stream=True, extra_body={"show_progress": False}
        )
        heard = [(chunk.choices[0].delta, clock() - began) async for chunk in stream]
        assert heard[0][0].role == "assistant"
        assert heard[0][1] < heard[1][1] / 2, "long before the first word"
        assert not any((delta.model_extra or {}).get("reasoning_content") for delta, _ in heard)

    with_pool(test, latency_s=0.02)


def test_tools_are_called_by_the_synthesizer_alone_whole_and_in_a_stream() -> None:
    async def test(built: Pool) -> None:
        tools: list[Any] = [SELL]
        whole = await built.client.chat.completions.create(model="auto", messages=TRADE, tools=tools)
        assert whole.choices[0].finish_reason == "tool_calls"
        assert whole.choices[0].message.content is None
        stream = await built.client.chat.completions.create(model="auto", messages=TRADE, tools=tools, stream=True)
        pieces = [call async for chunk in stream for choice in chunk.choices for call in choice.delta.tool_calls or ()]
        assert [piece.index for piece in pieces] == [0, 0, 0]
        assert pieces[0].function is not None
        assert pieces[0].function.name == "sell"
        async with built.client.chat.completions.stream(model="auto", messages=TRADE, tools=tools) as helper:
            kinds = {event.type async for event in helper}
            gathered = await helper.get_final_completion()
        assert "tool_calls.function.arguments.done" in kinds
        for message in (whole.choices[0].message, gathered.choices[0].message):
            assert message.tool_calls is not None
            (call,) = message.tool_calls
            assert call.type == "function"
            assert (call.id, call.function.name) == ("call_1", "sell")
            assert json.loads(call.function.arguments) == {"pens": 5}
        assert all(body["tools"] == [SELL] for body in built.bodies("writer"))
        assert not any("tools" in body or "tool_choice" in body for body in built.bodies(*INNER))
        assert not built.bodies("generalist")

    with_pool(test)


def test_the_result_of_a_tool_goes_on_in_the_conversation() -> None:
    async def test(built: Pool) -> None:
        tools: list[Any] = [SELL]
        first = await built.client.chat.completions.create(model="auto", messages=TRADE, tools=tools)
        said: Any = first.choices[0].message.model_dump(include={"role", "content", "tool_calls"})
        told: Any = {"role": "tool", "tool_call_id": "call_1", "content": "sold"}
        done = await built.client.chat.completions.create(model="auto", messages=[*TRADE, said, told], tools=tools)
        assert done.choices[0].message.content == "There are 79 pens left."
        assert (done.model_extra or {})["appliance"]["strategy"] == "direct"
        assert built.bodies("generalist")[0]["messages"][2] == told
        talk = [*TRADE, said, told, {"role": "assistant", "content": "Sold."}, *HARD]
        await built.client.chat.completions.create(model="auto", messages=talk, tools=tools)
        writer, planner = built.bodies("writer")[-1]["messages"], built.bodies("planner")[-1]["messages"]
        assert writer[1:5] == [talk[0], said | {"content": ""}, *talk[2:4]]
        assert "result of a tool: " in planner[1]["content"]
        assert {message["role"] for message in planner} == {"system", "user"}

    with_pool(test)


def test_forms_are_parsed_whole_and_in_a_stream() -> None:
    async def test(built: Pool) -> None:
        parsed = await built.client.chat.completions.parse(model="auto", messages=HARD, response_format=Stock)
        assert parsed.choices[0].message.parsed == Stock(left=79, unit="pens")
        async with built.client.chat.completions.stream(model="auto", messages=HARD, response_format=Stock) as stream:
            chunks = [event async for event in stream if isinstance(event, ChunkEvent)]
            final = await stream.get_final_completion()
        assert final.choices[0].message.parsed == Stock(left=79, unit="pens")
        assert sum(bool(c.chunk.choices and c.chunk.choices[0].delta.content) for c in chunks) > 5
        for body in built.bodies("writer"):
            assert body["response_format"]["json_schema"]["schema"]["required"] == ["left", "unit"]
        forms = [body["response_format"] for body in built.bodies(*INNER) if "response_format" in body]
        assert {form["json_schema"]["name"] for form in forms} == {"plan"}

    with_pool(test)


def test_an_answer_of_another_form_raises() -> None:
    class Boxes(BaseModel):
        boxes: int

    async def test(built: Pool) -> None:
        with pytest.raises(openai.InternalServerError, match="not what response_format asks for") as whole:
            await built.client.chat.completions.parse(model="auto", messages=HARD, response_format=Boxes)
        assert whole.value.code == "answer_invalid"
        assert built.bodies("generalist"), "the fallback had its try"
        async with built.client.chat.completions.stream(model="auto", messages=HARD, response_format=Boxes) as stream:
            with pytest.raises(openai.APIError, match="not what response_format asks for"):
                await stream.until_done()

    with_pool(test)


def test_models_are_listed() -> None:
    async def test(built: Pool) -> None:
        assert [model.id async for model in built.client.models.list()] == ["auto", *MODELS]

    with_pool(test)


LONG: list[Any] = [{"role": "user", "content": "x" * 20_000}]
EASY: list[Any] = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("error", "code", "fields", "fault"),
    [
        (openai.BadRequestError, "invalid_request", {"n": 5}, None),
        (openai.BadRequestError, "invalid_request", {"response_format": {"type": "xml"}}, None),
        (openai.BadRequestError, "context_length_exceeded", {"messages": LONG}, None),
        (openai.NotFoundError, "model_not_found", {"model": "gpt-5"}, None),
        (openai.RateLimitError, "overloaded", {}, Fault(FaultKind.HTTP, status=429)),
        (openai.InternalServerError, "engine_unavailable", {}, Fault(FaultKind.RESET, after_tokens=0)),
        (openai.InternalServerError, "engine_error", {}, Fault(FaultKind.HTTP, status=500)),
        (openai.BadRequestError, "engine_rejected", {}, Fault(FaultKind.HTTP, status=400, message="no such option")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_client_s_own(
    error: type[openai.APIStatusError],
    code: str,
    fields: dict[str, Any],
    fault: Fault | None,
    stream: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse, "FIRST_BYTE_S", 60.0)  # on a slow machine too the error comes before the stream has begun

    async def test(built: Pool) -> None:
        with pytest.raises(error) as raised:
            await built.client.post(
                "/chat/completions",
                body={"model": "auto", "messages": EASY, "stream": stream} | fields,
                cast_to=ChatCompletion,
                stream=stream,
                stream_cls=openai.AsyncStream[ChatCompletionChunk],
            )
        assert raised.value.code == code

    with_pool(test, faults={"generalist": [fault]} if fault else {})


def test_a_budget_that_is_used_up_is_not_tried_again() -> None:
    async def test(built: Pool) -> None:
        with pytest.raises(openai.UnprocessableEntityError) as raised:
            await built.client.with_options(max_retries=2).chat.completions.create(model="auto", messages=HARD)
        assert raised.value.code == "budget_exhausted"
        assert len(built.traces.saved) == 1

    with_pool(test, options=replace(TEAM, budget=replace(TEAM.budget, tokens=40)))


def test_what_a_team_has_begun_is_not_tried_again_by_the_client() -> None:
    async def test(built: Pool) -> None:
        with pytest.raises(openai.InternalServerError) as raised:
            await built.client.with_options(max_retries=2).chat.completions.create(model="auto", messages=HARD)
        assert raised.value.response.headers["x-should-retry"] == "false"
        (trace,) = built.traces.saved
        assert {call.role for call in trace.calls} >= {Role.PLANNER, Role.GENERALIST}

    down = Fault(FaultKind.RESET, after_tokens=0)
    with_pool(test, faults={model_id: [down] for model_id in MODELS if model_id != "planner"})


@pytest.mark.parametrize(("status", "tries"), [(429, 3), (500, 1), (400, 1)])
def test_a_named_model_is_tried_again_only_where_that_may_help(status: int, tries: int) -> None:
    async def test(built: Pool) -> None:
        with pytest.raises(openai.APIStatusError):
            await built.client.with_options(max_retries=2).chat.completions.create(model="generalist", messages=EASY)
        assert len(built.traces.saved) == tries

    with_pool(test, faults={"generalist": [Fault(FaultKind.HTTP, status=status)]})


def test_the_client_that_waits_has_the_same_endpoints() -> None:
    async def test(built: Pool) -> None:
        def everything() -> list[Any]:
            url = str(built.client.base_url)
            with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=10) as caller:
                return [
                    caller.chat.completions.create(model="auto", messages=HARD).choices[0].message.content,
                    caller.completions.create(model="writer", prompt="x", max_tokens=9).choices[0].text,
                    caller.responses.create(model="writer", input="x").output_text,
                    len(caller.embeddings.create(model="embedder", input=["x", "y"]).data),
                    "".join(event.choices[0].text for event in caller.completions.create(
                        model="writer", prompt="x", max_tokens=9, stream=True)),
                    caller.models.retrieve("embedder").id,
                ]  # fmt: skip

        left = "There are 79 pens left."
        assert await asyncio.to_thread(everything) == [left, left, left, 2, left, "embedder"]

    with_pool(test)


def test_an_error_in_the_middle_of_a_stream_raises_after_what_was_said() -> None:
    async def test(built: Pool) -> None:
        stream = await built.client.chat.completions.create(model="auto", messages=HARD, stream=True)
        said: list[str] = []
        with pytest.raises(openai.APIError, match="status 500 in the middle") as raised:
            await _hear(stream, said)
        assert "".join(said) == "There are"
        assert raised.value.code == "engine_error"

    with_pool(test, faults={"writer": [Fault(FaultKind.ERROR_EVENT, after_tokens=2)]})


async def _hear(stream: Any, said: list[str]) -> None:
    async for chunk in stream:
        said += [choice.delta.content for choice in chunk.choices if choice.delta.content]
