"""What is read of answers on their way through."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.request import Usage
from appliance.gateway.relay.tail import StreamTail, Unreadable, WholeAnswer, whole_answer

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 4}}


def event(delta: dict[str, Any] | None, finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **fields}, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
ROLE, FINISH = event({"role": "assistant", "content": ""}), event({"content": ""}, "stop")
LAST = event(None, usage=USAGE)
NASTY = (
    '"finish_reason":"stop"',
    'data: [DONE]\n\n{"error":',
    '"usage":{"prompt_tokens":1}',
    '"choices":[]',
    "\r\n\r\n",
    "é😀",
)

TEXTS = st.lists(st.text(max_size=8) | st.sampled_from(NASTY), max_size=12)


def taken(tail: StreamTail, pieces: list[bytes]) -> bytes:
    return b"".join(tail.take(piece) for piece in pieces) + tail.rest()


@given(TEXTS, st.lists(st.integers(0, 5_000), max_size=8), st.booleans())
def test_however_it_is_cut_the_same_bytes_go_on_and_the_same_is_known(
    texts: list[str], cuts: list[int], keeps_usage: bool
) -> None:
    contents = b"".join(event({"content": text}) for text in texts)
    stream = ROLE + contents + FINISH + LAST + DONE
    places = sorted({0, *(cut % len(stream) for cut in cuts), len(stream)})
    tail = StreamTail(keeps_usage)
    went_on = taken(tail, [stream[a:b] for a, b in pairwise(places)])
    assert went_on == ROLE + contents + FINISH + (LAST if keeps_usage else b"")
    assert (tail.usage, tail.finish_reason, tail.sound, tail.done) == (Usage(9, 3, 4), "stop", True, True)
    assert tail.events == 1 + len(texts)


def test_no_text_of_a_model_looks_like_an_end() -> None:
    tail = StreamTail(keeps_usage=False)
    for text in NASTY:
        assert tail.take(event({"content": text})) == event({"content": text})
    assert (tail.usage, tail.finish_reason, tail.done, tail.failed) == (None, None, False, None)


def test_comments_and_lines_that_end_otherwise_go_through() -> None:
    tail = StreamTail(keeps_usage=False)
    assert tail.take(b": keep-alive\n\n") == b": keep-alive\n\n"
    assert tail.take(b"data: {}\r\n\r\n") == b"data: {}\r\n\r\n"
    assert tail.take(FINISH.replace(b"\n", b"\r\n")) == FINISH
    assert tail.sound


def test_every_choice_must_come_to_its_end() -> None:
    tail = StreamTail(keeps_usage=False, choices=2)
    tail.take(FINISH)
    assert not tail.sound
    tail.take(event({"content": ""}, "length", index=1))
    assert tail.sound


@pytest.mark.parametrize("stream", [ROLE, ROLE + DONE, ROLE + event({"content": "x"}) + LAST + DONE])
def test_a_stream_without_an_end_is_not_sound(stream: bytes) -> None:
    tail = StreamTail(keeps_usage=False)
    tail.take(stream)
    assert not tail.sound


def test_an_abort_and_an_error_do_not_go_on() -> None:
    tail = StreamTail(keeps_usage=False)
    assert tail.take(event({"content": "x"}) + event({"content": ""}, "abort") + LAST + DONE) == event({"content": "x"})
    assert tail.failed is not None
    assert tail.failed.aborted
    tail = StreamTail(keeps_usage=False)
    broken = b'data: {"error": {"message": "dead", "type": "x", "param": null, "code": 503}}\n\n'
    assert tail.take(ROLE + broken + DONE) == ROLE
    assert tail.failed is not None
    assert (tail.failed.status, tail.failed.detail, tail.sound) == (503, "dead", False)


@pytest.mark.parametrize(
    "broken",
    [
        b"data: {no json[DONE]\n\n",
        b'data: ["usage"]\n\n',
        b'data: {"usage":7}\n\n',
        b'data: {"choices":[],"usage":7}\n\n',
    ],
)
def test_what_can_not_be_read_is_said(broken: bytes) -> None:
    with pytest.raises(Unreadable):
        StreamTail(keeps_usage=False).take(broken)


def test_an_event_without_an_end_is_not_kept_for_ever() -> None:
    tail = StreamTail(keeps_usage=False)
    for _ in range(16):
        tail.take(b"x" * 1_000_000)
    with pytest.raises(Unreadable, match="longer than"):
        tail.take(b"x")


def test_an_event_that_was_not_closed_counts() -> None:
    tail = StreamTail(keeps_usage=False)
    assert tail.take(ROLE + FINISH.rstrip()) == ROLE
    assert tail.rest() == FINISH
    assert tail.sound


def test_whole_answers() -> None:
    choice = {"index": 0, "message": {"content": '"finish_reason":"abort"'}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "usage": USAGE}).encode()
    assert whole_answer(body) == WholeAnswer(Usage(9, 3, 4), "stop", aborted=False)
    assert whole_answer(json.dumps({"choices": [{**choice, "finish_reason": "abort"}]}).encode()).aborted
    for broken in (b"", b"{no", b"[]", b"{}", b'{"choices":[1]}', b'{"choices":[],"usage":1}'):
        with pytest.raises(Unreadable):
            whole_answer(broken)
