"""One request on its way and what comes of it, read as cheaply as can be: no JSON is parsed while streams run. Pure."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from typing import Any, Final

import orjson

_WORKING: Final = re.compile(rb'"reasoning(?:_content)?": ?"(?!")')
_TOOLS: Final = re.compile(rb'"tool_calls": ?\[ ?\{')
_SPECIAL: Final = re.compile(rb'"usage": ?\{|\{ ?"error": ?[{"]')
_MOST_ERROR: Final = 300


class Exchange:
    """Times are on the monotonic clock. `keep_text`: the answer is needed for the next turn."""

    __slots__ = (
        "_rest",
        "_tail",
        "_text",
        "begun_s",
        "body",
        "chunk_s",
        "due_s",
        "ended_s",
        "failure",
        "first_byte_s",
        "first_event_s",
        "keep_text",
        "sent_s",
        "status",
        "streamed",
        "trace_id",
        "whole",
    )

    def __init__(self, due_s: float, begun_s: float, *, streamed: bool, keep_text: bool = False) -> None:
        self.due_s, self.begun_s = due_s, begun_s
        self.streamed, self.keep_text = streamed, keep_text
        self.sent_s: float | None = None
        self.first_byte_s: float | None = None
        self.first_event_s: float | None = None
        self.ended_s = begun_s
        self.chunk_s = array("d")
        """When each piece of the answer was there."""
        self.status = 0
        self.trace_id = ""
        self.failure = ""
        self.whole = False
        self.body = b""
        """Of an answer that is no stream."""
        self._rest = b""
        self._tail: list[bytes] = []
        self._text: list[bytes] = []

    def take(self, piece: bytes, now_s: float) -> None:
        """A piece of the body that arrived at `now_s`."""
        if not self.streamed or self.status != 200:
            self.body += piece
            return
        whole = self._rest + piece if self._rest else piece
        cut = whole.rfind(b"\n") + 1
        if cut < len(whole):
            self._rest, whole = whole[cut:], whole[:cut]
        else:
            self._rest = b""
        if whole:
            self._lines(whole, now_s)

    def end(self, now_s: float, failure: str = "") -> None:
        """It is over: the answer is whole, or `failure` says why not."""
        self.ended_s, self.whole, self.failure = now_s, not failure, failure

    def error(self) -> str:
        """Why there is no answer; empty where there is one."""
        if self.failure:
            return self.failure
        if self.status != 200:
            return f"status {self.status}: {_message(self.body)}"
        if not self.streamed:
            return "" if self.document() else "an answer that is no JSON object"
        told = next((event["error"] for event in map(_loads, self._tail) if "error" in event), None)
        if told is not None:
            return f"error in the stream: {_of_error(told)}"
        return "" if self.chunk_s or self.first_event_s is not None or self.document() else "an answer without tokens"

    def document(self) -> Mapping[str, Any]:
        """What holds the usage: the last event of a stream, or the whole answer; empty where nothing does."""
        if not self.streamed:
            return _loads(self.body)
        events = [event for event in map(_loads, self._tail) if isinstance(event.get("usage"), dict)]
        return events[-1] if events else {}

    def text(self) -> str:
        """The answer, where it is kept."""
        if not self.streamed:
            return "".join(_content(self.document(), "message"))
        return "".join(text for line in self._text for text in _content(_loads(line), "delta"))

    def _lines(self, lines: bytes, now_s: float) -> None:
        """Whole lines. Plain counts first: they cost a tenth of a pattern, which most lines need none of.

        Quotes inside texts are escaped, so that no text looks like a field.
        """
        contents = lines.count(b'"content":"') - lines.count(b'"content":""')
        contents += lines.count(b'"content": "') - lines.count(b'"content": ""')
        if b'"tool_calls"' in lines:
            contents += len(_TOOLS.findall(lines))
        if self.first_event_s is None and (contents or _WORKING.search(lines)):
            self.first_event_s = now_s
        for _ in range(contents):
            self.chunk_s.append(now_s)
        if (b'"usage"' in lines or b'"error"' in lines) and _SPECIAL.search(lines):
            self._tail += [line for line in lines.split(b"\n") if _SPECIAL.search(line)]
        if self.keep_text and contents:
            self._text += lines.split(b"\n")


def _loads(line: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(line.removeprefix(b"data:").strip())
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _content(document: Mapping[str, Any], part: str) -> list[str]:
    return [(choice.get(part) or {}).get("content") or "" for choice in document.get("choices") or ()]


def _message(body: bytes) -> str:
    document = _loads(body)
    return _of_error(document.get("error", document.get("message", "")))


def _of_error(told: Any) -> str:
    message = told.get("message", "") if isinstance(told, dict) else told
    return str(message)[:_MOST_ERROR] or "no message"
