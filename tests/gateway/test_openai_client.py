"""The stock `openai` client against the gateway, over a real socket."""

from __future__ import annotations

import asyncio

import openai
import pytest

from appliance.domain.request import ContentDelta, ReasoningDelta
from appliance.errors import EngineRejected, InvalidRequest
from tests.fakes.fake_coordinator import Step, Until
from tests.gateway.door import KEY, House, house, served, until_silent

ANSWER: tuple[Step, ...] = (ReasoningDelta("thinking"), ContentDelta("The answer "), ContentDelta("is 42."))


def client(url: str, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=10)


def test_whole_answer_with_usage_and_fan_out() -> None:
    with served(house(*ANSWER).app) as url, client(url) as caller:
        answer = caller.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hello"}])
    message = answer.choices[0].message
    assert message.content == "The answer is 42."
    assert message.model_extra is not None
    assert message.model_extra["reasoning_content"] == "thinking"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 15
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 3
    assert answer.model_extra is not None
    assert answer.model_extra["appliance"]["calls"] == 2
    assert answer.model_extra["appliance"]["usage_by_role"]["generalist"]["completion_tokens"] == 5
    assert answer.model_extra["appliance"]["usage_by_role"]["generalist"]["gpu_s"] == 0.25
    assert answer.model_extra["appliance"]["gpu_s"] == 0.25


def test_streamed_answer_says_role_then_reasoning_then_content_then_why_it_ended() -> None:
    with served(house(*ANSWER).app) as url, client(url) as caller:
        stream = caller.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        choices = [chunk.choices[0] for chunk in stream]
    assert choices[0].delta.role == "assistant"
    assert [c.delta.model_extra for c in choices if c.delta.model_extra] == [
        {"reasoning": "thinking", "reasoning_content": "thinking"}
    ]
    assert "".join(c.delta.content or "" for c in choices) == "The answer is 42."
    assert [c.finish_reason for c in choices if c.finish_reason] == ["stop"]


def test_usage_chunk_comes_last_and_only_when_asked() -> None:
    with served(house(*ANSWER).app) as url, client(url) as caller:
        stream = caller.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 15
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["appliance"]["strategy"] == "direct"


def test_stream_helper_of_the_client_accumulates_tool_calls_relayed_verbatim() -> None:
    pieces = (
        {"role": "assistant", "tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                                              "function": {"name": "add", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
    )  # fmt: skip
    steps = tuple(ContentDelta("", raw_delta=piece) for piece in pieces)
    with served(house(*steps).app) as url, client(url) as caller:
        with caller.chat.completions.stream(
            model="m", messages=[{"role": "user", "content": "hello"}], stream_options={"include_usage": True}
        ) as stream:
            streamed = stream.get_final_completion()
        whole = caller.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    for answer in (streamed, whole):
        assert answer.choices[0].message.role == "assistant"
        assert answer.choices[0].message.tool_calls is not None
        call = answer.choices[0].message.tool_calls[0]
        assert call.type == "function"
        assert (call.id, call.function.name, call.function.arguments) == ("call_1", "add", '{"a":1}')


def test_logprobs_are_relayed_in_both_ways() -> None:
    token = {"token": "42", "logprob": -0.5, "top_logprobs": [], "bytes": None}
    step = ContentDelta("42", raw_delta={"content": "42"}, raw_logprobs={"content": [token]})
    with served(house(step).app) as url, client(url) as caller:
        whole = caller.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}], logprobs=True)
        streamed = list(
            caller.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "?"}], logprobs=True, stream=True
            )
        )
    assert whole.choices[0].logprobs is not None
    assert whole.choices[0].logprobs.content is not None
    assert whole.choices[0].logprobs.content[0].logprob == -0.5
    assert [c.choices[0].logprobs for c in streamed if c.choices[0].logprobs is not None]


def test_errors_become_the_client_s_own_exceptions() -> None:
    with served(house(InvalidRequest("no such thing", param="tools")).app) as url:
        with client(url) as caller, pytest.raises(openai.BadRequestError) as bad:
            caller.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hello"}], stream=True)
        with client(url, "sk-wrong") as caller, pytest.raises(openai.AuthenticationError):
            caller.models.list()
    assert bad.value.param == "tools"


def test_error_after_the_first_byte_is_an_event_of_the_stream() -> None:
    failing = house(ContentDelta("The "), EngineRejected("the engine failed", status=500))
    with served(failing.app) as url, client(url) as caller:
        stream = caller.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        with pytest.raises(openai.APIError, match="the engine failed"):
            list(stream)


def test_comments_of_a_silent_stream_are_skipped_by_the_client() -> None:
    told = asyncio.Event()
    target = house(ReasoningDelta("thinking"), Until(told), ContentDelta("42"), keep_alive_s=0.02)

    with served(until_silent(target.app, told)) as url, client(url) as caller:
        stream = caller.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "42"
    assert told.is_set()


def test_models_are_listed_and_found() -> None:
    with served(House().app) as url, client(url) as caller:
        assert [model.id for model in caller.models.list()] == ["auto", "starter-planner", "starter-generalist"]
        assert caller.models.retrieve("starter-planner").owned_by == "publisher"
        with pytest.raises(openai.NotFoundError):
            caller.models.retrieve("gpt-4")


def test_every_field_that_the_client_knows_is_read_or_refused_by_name() -> None:
    target = house(*ANSWER)
    with served(target.app) as url, client(url) as caller:
        caller.chat.completions.create(
            model="auto",
            messages=[
                {"role": "developer", "content": "be brief"},
                {"role": "user", "name": "mia", "content": [
                    {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "3"},
            ],
            temperature=1, top_p=0.5, n=1, stop="x", seed=1, max_completion_tokens=9, max_tokens=5,
            response_format={"type": "json_object"}, logit_bias={"5": 1}, user="u", metadata={"a": "b"}, store=False,
            presence_penalty=0, frequency_penalty=0.1, parallel_tool_calls=True, reasoning_effort="low",
            service_tier="auto", logprobs=True, top_logprobs=2, safety_identifier="s", prompt_cache_key="p",
            extra_body={"top_k": 5, "show_progress": False},
        )  # fmt: skip
    request = target.coordinator.requests[0]
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool"]
    assert request.messages[1].content == "a\nb"
    assert request.max_tokens == 9
    assert request.sampling["stop"] == ["x"]
    assert request.sampling["top_k"] == 5
    assert "metadata" not in request.sampling
    assert request.show_progress is False
