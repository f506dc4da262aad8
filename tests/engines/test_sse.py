"""SSE parsing, however the bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engines import sse
from appliance.engines.sse import SseParser

STREAM = b': hello\r\n\r\ndata: {"a": 1}\n\ndata:{"b":\r\ndata: "\xc3\xa9"}\r\n\r\nevent: x\nid: 3\n\ndata: [DONE]\n\n'
EVENTS = [b'{"a": 1}', b'{"b":\n"\xc3\xa9"}', b"[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    parser = SseParser()
    edges = [0, *sorted(cuts), len(STREAM)]
    events = [e for a, b in itertools.pairwise(edges) for e in parser.feed(STREAM[a:b])]
    assert events + parser.flush() == EVENTS


def test_the_last_event_needs_no_empty_line() -> None:
    parser = SseParser()
    assert parser.feed(b"data: 1\n\ndata: 2") == [b"1"]
    assert parser.flush() == [b"2"]
    assert parser.flush() == []


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 10)
    with pytest.raises(ValueError, match="longer than 10 bytes"):
        SseParser().feed(b"data: 0123456789")
