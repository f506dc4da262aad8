"""Streams as they arrive, cut anywhere."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.bench.exchange import Exchange


def event(delta: dict[str, Any], **fields: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return b"data: " + json.dumps({"id": "x", "choices": [choice], **fields}).encode() + b"\n\n"


TALE = (
    event({"role": "assistant", "content": ""})
    + event({"reasoning": 'step 1: "content": "x"', "reasoning_content": "step 1"})
    + b": keep-alive\n\n"
    + event({"content": 'a "content": "b" \n'})
    + event({"content": "c"})
    + event({"content": ""})
    + b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2},"appliance":{"calls":3}}\n\n'
    + b"data: [DONE]\n\n"
)


def streamed(keep_text: bool = False) -> Exchange:
    exchange = Exchange(10.0, 10.0, streamed=True, keep_text=keep_text)
    exchange.status = 200
    return exchange


@given(cuts=st.lists(st.integers(1, len(TALE) - 1), max_size=12))
def test_a_stream_is_read_the_same_however_it_is_cut(cuts: list[int]) -> None:
    exchange = streamed(keep_text=True)
    places = [0, *sorted(set(cuts)), len(TALE)]
    for number, (start, end) in enumerate(pairwise(places)):
        exchange.take(TALE[start:end], 11.0 + number)
    exchange.end(99.0)
    assert len(exchange.chunk_s) == 2
    assert exchange.error() == ""
    assert exchange.text() == 'a "content": "b" \nc'
    assert exchange.document()["usage"] == {"prompt_tokens": 7, "completion_tokens": 2}
    assert exchange.document()["appliance"]["calls"] == 3
    assert exchange.first_event_s is not None
    assert exchange.first_event_s <= exchange.chunk_s[0] <= exchange.chunk_s[1]


def test_the_time_of_a_piece_is_that_of_its_last_byte() -> None:
    exchange, whole = streamed(), event({"content": "a"})
    exchange.take(whole[:20], 11.0)
    exchange.take(whole[20:] + event({"content": "b"}), 12.0)
    assert list(exchange.chunk_s) == [12.0, 12.0]
    assert exchange.first_event_s == 12.0


def test_compact_json_and_tool_calls_are_tokens_too() -> None:
    exchange = streamed()
    exchange.take(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', 11.0)
    exchange.take(b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n', 12.0)
    assert list(exchange.chunk_s) == [11.0, 12.0]


def test_an_error_in_a_stream_is_one() -> None:
    exchange = streamed()
    exchange.take(event({"content": "a"}), 11.0)
    exchange.take(b'data: {"error": {"message": "the engine died", "code": 500}}\n\ndata: [DONE]\n\n', 12.0)
    exchange.end(13.0)
    assert exchange.error() == "error in the stream: the engine died"


def test_what_is_no_answer() -> None:
    refused = Exchange(0.0, 0.0, streamed=True)
    refused.status = 429
    refused.take(b'{"error": {"message": "the line is full"}}', 1.0)
    refused.end(1.0)
    assert refused.error() == "status 429: the line is full"
    silent = streamed()
    silent.take(b"data: [DONE]\n\n", 1.0)
    silent.end(1.0)
    assert silent.error() == "an answer without tokens"
    garbled = Exchange(0.0, 0.0, streamed=False)
    garbled.status, garbled.body = 200, b"{no"
    garbled.end(1.0)
    assert garbled.error() == "an answer that is no JSON object"


def test_a_whole_answer() -> None:
    exchange = Exchange(0.0, 0.0, streamed=False)
    exchange.status = 200
    exchange.take(b'{"choices": [{"message": {"content": "42"}}], "usage": {"prompt_tokens": 1,', 1.0)
    exchange.take(b' "completion_tokens": 1}}', 2.0)
    exchange.end(2.0)
    assert (exchange.text(), exchange.error()) == ("42", "")
