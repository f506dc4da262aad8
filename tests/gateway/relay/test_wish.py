"""What of a body is certainly understood; everything else goes the ordinary way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import RequestError
from appliance.gateway.openai import schema
from appliance.gateway.openai.schema import parse
from appliance.gateway.relay.wish import CHAT, TEXT, Understood, Wish, wish_of
from tests.gateway.relay.house import MODEL, ask

UNDERSTOOD = Understood(frozenset({MODEL}), 4, schema.parse)
TOOL = {"type": "function", "function": {"name": "sell"}}


def wish(body: Any, path: str = CHAT) -> Wish | None:
    return wish_of(path, body if isinstance(body, bytes) else json.dumps(body).encode(), UNDERSTOOD)


def test_a_plain_question() -> None:
    found = wish(ask("12345678", temperature=0.5, max_tokens=7))
    assert found == Wish(MODEL, ask("12345678", temperature=0.5, max_tokens=7), False, False, 7, 8 + 4)


def test_the_engine_is_asked_for_the_usage_of_every_stream() -> None:
    for options, keeps in (
        (None, False),
        ({}, False),
        ({"include_usage": False}, False),
        ({"include_usage": True}, True),
    ):
        found = wish(ask(stream=True, stream_options=options))
        assert found is not None
        assert (found.keeps_usage, found.down["stream_options"]) == (keeps, {"include_usage": True})


def test_what_no_engine_is_told_stays_here() -> None:
    found = wish(ask(user="u", metadata={"a": "b"}, store=True, tools=[TOOL]))
    assert found is not None
    assert found.down == ask(tools=[TOOL])


def test_developers_are_the_system() -> None:
    body = ask() | {"messages": [{"role": "developer", "content": "x"}, {"role": "user", "content": "y", "name": "n"}]}
    found = wish(body)
    assert found is not None
    assert [message["role"] for message in found.down["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "auto"}, {"model": 7}, {"model": None}, {"n": 5}, {"n": True}, {"n": 0}, {"temperature": 2.1},
        {"temperature": True}, {"temperature": "1"}, {"max_tokens": 0}, {"max_tokens": 1.5}, {"stream": 1},
        {"seed": 2**63}, {"seed": 1e300},
        {"stop": [""]}, {"stop": [7]}, {"stop": ["a"] * 17}, {"priority": 1}, {"labels": ["x"]},
        {"documents": [{"text": "x"}]}, {"effort": "high"}, {"strategy": "direct"}, {"budget": {"calls": 1}},
        {"show_progress": False}, {"stream_options": {"include_usage": True}}, {"colour": 1}, {"best_of": 2},
        {"stream": True, "stream_options": {"continuous_usage_stats": True}}, {"cache_salt": 7},
        {"tools": [{"type": "web"}]}, {"response_format": {"type": "json_schema"}}, {"top_logprobs": 3},
        {"messages": []}, {"messages": [{"role": "user"}]}, {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, {"messages": "x"},
        {"messages": [{"role": "assistant", "content": "x", "reasoning": "y"}]},
        {"messages": [{"role": "user", "content": "x"}] * 2_049},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_unusual_is_left_to_the_ordinary_route(fields: dict[str, Any]) -> None:
    assert wish(ask(**fields) if "messages" not in fields and "model" not in fields else ask() | fields) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'"x"', b"null", b"[" * 500, b"\xff", b'{"model":"\xff"}'])
def test_what_is_no_object_is_too(body: bytes) -> None:
    assert wish(body) is None


def test_texts_to_go_on_with() -> None:
    found = wish({"model": MODEL, "prompt": "Once", "max_tokens": 5, "n": 2}, TEXT)
    assert found == Wish(MODEL, {"model": MODEL, "prompt": "Once", "max_tokens": 5, "n": 2}, False, False, 5, 2, 2)
    unusual: tuple[dict[str, Any], ...] = (
        {"prompt": ["a"]},
        {"prompt": ""},
        {"prompt": [1, 2]},
        {"echo": True},
        {"suffix": "x"},
        {"messages": []},
    )
    for fields in unusual:
        assert wish({"model": MODEL, "prompt": "Once", **fields}, TEXT) is None


VALUES: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats(-3, 3)
    | st.text(max_size=3)
    | st.just([])
    | st.just({})
)
NAMES = st.sampled_from([*schema.ChatCompletionBody.model_fields, "colour", "priority", "best_of", "functions"])


@given(st.dictionaries(NAMES.filter(lambda name: name not in ("model", "messages")), VALUES, max_size=5))
def test_nothing_is_taken_that_the_ordinary_route_refuses(fields: dict[str, Any]) -> None:
    body = json.dumps(ask(**fields)).encode()
    found = wish(body)
    if found is None:
        return
    checked = parse(body)
    assert found.streamed == bool(checked.stream)
    assert found.max_tokens == (checked.max_completion_tokens or checked.max_tokens)
    assert not found.down.keys() - {*schema.ChatCompletionBody.model_fields}
    try:
        parse(json.dumps(found.down).encode())
    except RequestError as error:
        raise AssertionError(f"what goes down is refused: {error}") from error
