"""What is read of an answer on its way through: how it ended, and what it cost. Pure but for its own buffer.

Pieces of a stream go on as they came. Only events that end something are parsed: those that a few substrings give
away, which no text of a model can hold, because a quote inside of a JSON string is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from appliance.domain.request import Usage
from appliance.engines.chunks import usage_of

DONE: Final = b"data: [DONE]\n\n"
MAX_EVENT_BYTES: Final = 16_000_000

_END, _CR_END = b"\n\n", b"\r\n\r\n"


class Unreadable(Exception):
    """The engine's answer is not of the shape that one has. Stays inside the relay."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An error event of the engine, or its breaking off, in the middle of a stream."""

    status: int
    detail: str = ""
    aborted: bool = False


@dataclass(slots=True)
class StreamTail:
    """`take` each piece, in order; then `rest` once. `keeps_usage`: the caller asked for the event with the usage.

    `choices` were asked for; `events` are those that went on and ended nothing. What goes on to the caller never holds
    [DONE], an error or a broken end: whoever relays says the last word when it knows how the stream ended.
    """

    keeps_usage: bool
    choices: int = 1
    usage: Usage | None = None
    finish_reason: str | None = None
    finished: int = 0
    events: int = 0
    done: bool = False
    failed: Failed | None = None
    _rest: bytes = b""

    @property
    def sound(self) -> bool:
        """Every choice has come to its end."""
        return self.failed is None and self.finished >= self.choices

    def take(self, piece: bytes) -> bytes:
        """What of it goes on now: whole events only. Raises Unreadable."""
        if self._rest:
            piece, self._rest = self._rest + piece, b""
        if not piece.endswith(_END):
            piece = self._whole(piece)
        if _tells_something(piece):
            return b"".join(self._looked_at(piece))
        self.events += piece.count(_END)
        return piece

    def rest(self) -> bytes:
        """An event that the engine did not close before it ended the stream."""
        rest, self._rest = self._rest, b""
        return b"".join(self._looked_at(rest + _END)) if rest.strip() else b""

    def _whole(self, piece: bytes) -> bytes:
        """The whole events; what follows them is kept."""
        ends = [at + len(end) for end in (_END, _CR_END) if (at := piece.rfind(end)) >= 0]
        end = max(ends, default=0)
        if len(piece) - end > MAX_EVENT_BYTES:
            raise Unreadable(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        self._rest = piece[end:]
        return piece[:end]

    def _looked_at(self, piece: bytes) -> Iterator[bytes]:
        for event in piece.replace(b"\r\n", b"\n").split(_END):
            if event and not self.done and self.failed is None and self._goes_on(event):
                yield event + _END

    def _goes_on(self, event: bytes) -> bool:
        payload = b"\n".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
        if not payload:
            return True
        if payload == b"[DONE]":
            self.done = True
            return False
        said = _parsed(payload)
        if said.get("error"):
            self.failed = _failure(said["error"])
            return False
        return self._note(said)

    def _note(self, said: Mapping[str, Any]) -> bool:
        choices = said.get("choices")
        if not isinstance(choices, list):
            raise Unreadable("an event has no choices")
        usage = _usage(said)
        self.usage = usage or self.usage
        before = self.finished
        for choice in choices:
            reason = choice.get("finish_reason") if isinstance(choice, dict) else None
            if reason == "abort":
                self.failed = Failed(503, aborted=True)
                return False
            if reason is not None:
                self.finish_reason = str(reason)
                self.finished += 1
        self.events += bool(choices) and self.finished == before
        return bool(choices) or usage is None or self.keeps_usage


@dataclass(slots=True)
class WholeAnswer:
    """What a whole answer says of itself. `aborted`: the engine broke it off, and said 200 all the same."""

    usage: Usage | None
    finish_reason: str | None
    aborted: bool


def whole_answer(body: bytes) -> WholeAnswer:
    """Read a whole answer. Raises Unreadable."""
    said = _parsed(body)
    choices = said.get("choices")
    if type(choices) is not list:
        raise Unreadable("the answer has no choices")
    reason, aborted = None, False
    for choice in choices:
        if type(choice) is not dict:
            raise Unreadable("a choice is no object")
        ended = choice.get("finish_reason")
        aborted = aborted or ended == "abort"
        reason = reason or ended
    return WholeAnswer(_usage(said), reason, aborted)


def _tells_something(piece: bytes) -> bool:
    """Whether an event in it may end something: a finish reason, the usage, an error, [DONE]."""
    return (
        b'"finish_reason":"' in piece
        or b'"usage"' in piece
        or b"[DONE]" in piece
        or b'{"error"' in piece
        or b'"finish_reason": "' in piece
    )


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise Unreadable("it is no JSON") from None
    if not isinstance(said, dict):
        raise Unreadable("it is no JSON object")
    return said


def _usage(said: Mapping[str, Any]) -> Usage | None:
    try:
        return usage_of(said.get("usage"))
    except (AttributeError, KeyError, TypeError):
        raise Unreadable("its usage is of an unknown shape") from None


def _failure(error: Any) -> Failed:
    error = error if isinstance(error, dict) else {"message": str(error)}
    code = error.get("code")
    return Failed(code if isinstance(code, int) else 500, str(error.get("message", "")))
