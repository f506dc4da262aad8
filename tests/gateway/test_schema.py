"""Bodies: what is wrong is said with the name of the field, and nothing that comes in makes a 5xx."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.request import BudgetWish
from appliance.errors import InvalidRequest
from appliance.gateway.openai.schema import MAX_DEPTH, REFUSED, ChatCompletionBody, parse
from tests.gateway.door import call, chat, house


def said(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        parse(orjson.dumps(chat(**fields)))
    return error.value


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"model": None}, "model", "string"),
        ({"model": ""}, "model", "at least 1"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": "hello"}, "messages", "list"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "developer"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "string"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", "object"),
        ({"messages": [{"role": "user", "content": "x", "extra": 1}]}, "messages[0].extra", "unknown"),
        ({"temperature": "hot"}, "temperature", "number"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"max_tokens": 0}, "max_tokens", "greater"),
        ({"max_tokens": True}, "max_tokens", "integer"),
        ({"n": 5}, "n", "server.max_choices"),
        ({"top_logprobs": 5}, "top_logprobs", "logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream"),
        ({"stream": True, "stream_options": {"usage": True}}, "stream_options.usage", "unknown"),
        ({"tool_choice": "maybe"}, "tool_choice", "auto"),
        ({"tools": [{"type": "web"}]}, "tools[0].type", "function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function", "name"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "whole"}}}},
            "response_format.json_schema.schema",
            "whole",
        ),
        ({"stop": ["a"] * 17}, "stop", "16"),
        ({"modalities": ["audio"]}, "modalities[0]", "text"),
        ({"temprature": 1}, "temprature", "unknown field"),
        ({"budget": 5}, "budget", "valid dictionary"),
        ({"budget": {"tokens": 0}}, "budget.tokens", "greater than or equal to 1"),
        ({"budget": {"calls": 1.5}}, "budget.calls", "integer"),
        ({"budget": {"gpu_s": -1}}, "budget.gpu_s", "greater than 0"),
        ({"budget": {"wall_s": "10"}}, "budget.wall_s", "number"),
        ({"budget": {"depth": 1}}, "budget.depth", "unknown field"),
    ],
)
def test_problem_is_named(fields: dict[str, Any], param: str, words: str) -> None:
    error = said(**fields)
    assert error.param == param
    assert words in str(error)
    assert str(error).startswith(param)


@pytest.mark.parametrize("kind", ["input_audio", "file", "refusal", "video_url"])
def test_other_kinds_of_content_are_refused_by_place(kind: str) -> None:
    parts = [{"type": "text", "text": "look"}, {"type": kind, kind: {"url": "http://169.254.169.254/"}}]
    error = said(messages=[{"role": "system", "content": "x"}, {"role": "user", "content": parts}])
    assert error.param == "messages[1].content[1].type"
    assert kind in str(error)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://169.254.169.254/latest/meta-data", "'http' is refused"),
        ("https://example.org/cat.png", "nothing is fetched"),
        ("file:///etc/passwd", "'file' is refused"),
        ("HTTP://127.0.0.1:8100/", "nothing is fetched"),
        (" data:image/png;base64,aaaa", "nothing is fetched"),
        ("data:image/svg+xml;base64,aaaa", "png"),
        ("data:text/html,<script>", "png"),
        ("data:video/mp4;base64,aaaa", "png"),
        ("data:image/png;base64,http://127.0.0.1/", "no valid base64"),
        ("data:image/png;base64,", "no valid base64"),
        ("data:image/png;base64,aGVsbG8gd29ybGQhISEh", "does not begin as a png does"),
        ("data:image/jpeg;base64,iVBORw0KGgoAAAAN", "does not begin as a jpeg does"),
    ],
)
def test_images_come_in_the_body_or_not_at_all(url: str, words: str) -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]
    error = said(messages=[{"role": "user", "content": parts}])
    assert error.param == "messages[0].content[1].image_url.url"
    assert words in str(error)


def test_images_of_others_than_the_user_and_too_many_are_refused() -> None:
    gif = {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlhAQABAAAA"}}
    assert said(messages=[{"role": "system", "content": [gif]}]).param == "messages[0].content"
    assert "server.max_images" in str(said(messages=[{"role": "user", "content": [gif] * 9}]))
    parse(orjson.dumps(chat(messages=[{"role": "user", "content": [gif] * 8}])))


def test_the_caller_s_cache_salt_is_taken_off() -> None:
    request = parse(orjson.dumps(chat(cache_salt="of the caller"))).to_domain()
    assert "cache_salt" not in request.sampling
    assert "of the caller" not in repr(request)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_fields_that_are_known_but_not_taken_say_why(name: str) -> None:
    error = said(**{name: "x"})
    assert error.param == name
    assert REFUSED[name] in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b'"x"', b"\xff", b'{"model": NaN}', b'{"model":"\\ud800"}', b"[" * 100_000]
)
def test_not_a_json_object(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(body)


def test_depth_is_limited() -> None:
    deep: Any = "x"
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="nested deeper"):
        parse(orjson.dumps(chat(metadata=deep)))


def test_hostile_names_are_not_said_back_at_length() -> None:
    error = said(**{"x" * 50_000: 1})
    assert len(str(error)) < 1_000


def test_stop_may_be_one_string_and_limits_have_two_names() -> None:
    request = parse(orjson.dumps(chat(stop="END", max_tokens=7))).to_domain()
    assert request.sampling["stop"] == ["END"]
    assert request.max_tokens == 7


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, "medium"),
        ({"effort": "low"}, "low"),
        ({"effort": "low", "reasoning_effort": "high"}, "low"),
        *(({"reasoning_effort": said}, "low") for said in ("none", "minimal", "low")),
        ({"reasoning_effort": "medium"}, "medium"),
        *(({"reasoning_effort": said}, "high") for said in ("high", "xhigh", "max")),
    ],
)
def test_effort_is_ours_or_openais(fields: dict[str, Any], effort: str) -> None:
    request = parse(orjson.dumps(chat(**fields))).to_domain()
    assert request.effort.value == effort
    assert request.sampling.get("reasoning_effort") == fields.get("reasoning_effort")


def test_labels_and_a_choice_of_strategy_are_short_names() -> None:
    request = parse(orjson.dumps(chat(labels=["pii", "code", "pii"], strategy="direct"))).to_domain()
    assert (request.labels, request.strategy) == (("code", "pii"), "direct")
    assert said(labels=["Not a name"]).param == "labels[0]"
    assert said(strategy="Not a name").param == "strategy"


def test_fields_that_only_openai_knows_go_nowhere() -> None:
    ignored = {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "flex", "prompt_cache_key": "p"}
    assert parse(orjson.dumps(chat(**ignored))).to_domain().sampling == {}


ANSWERING = house()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
known_fields = st.sampled_from(sorted(ChatCompletionBody.model_fields))


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(known_fields | st.text(max_size=12), json_values, max_size=6))
def test_any_json_object_is_answered_or_refused(fields: dict[str, Any]) -> None:
    try:
        body = orjson.dumps(chat(**fields))
    except (TypeError, orjson.JSONEncodeError):  # numbers that no JSON can hold
        return
    reply = call(ANSWERING.app, body=body)
    assert reply.status in {200, 400}
    if reply.status == 400:
        assert reply.error["message"]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(body: bytes) -> None:
    assert call(ANSWERING.app, body=body).status == 400


def test_a_budget_of_the_callers_reaches_the_coordinator() -> None:
    request = parse(orjson.dumps(chat(budget={"tokens": 500, "gpu_s": 2}))).to_domain()
    assert request.budget == BudgetWish(tokens=500, gpu_s=2.0)
    assert parse(orjson.dumps(chat())).to_domain().budget == BudgetWish()
