"""One HTTP/1.1 connection to an engine: a request goes down, the bytes of its answer come up as they are.

It exists beside `client` because what it does for a request costs half of what a general HTTP client needs, and the
path through it is hot (docs/gateway.md has the figures). It parses the head of an answer and the lengths of its
pieces, never their content.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, cast

import httptools

PAUSE_BYTES: Final = 256 * 1024
"""An engine is not read on while so much of its answer waits for a slow caller."""
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_WHOLE_BYTES: Final = 64 * 1024 * 1024
"""An answer that is not streamed is held until it is whole."""


class _Wants(Enum):
    """What whoever waits here waits for."""

    HEAD = auto()
    PIECE = auto()
    WHOLE = auto()


class AnswerBroken(Exception):
    """The connection failed, or what came over it is no HTTP. Stays inside `engines`.

    `begun`: some of the answer had come, so the engine worked on the request.
    """

    def __init__(self, reason: str, *, begun: bool) -> None:
        super().__init__(reason)
        self.begun = begun


@dataclass(slots=True)
class _Answer:
    """What has come of the present answer. `ends_with_connection`: no header says where its body ends."""

    status: int = 0
    content_type: bytes = b""
    head_bytes: int = 0
    head_came: bool = False
    ends_with_connection: bool = True
    whole: bool = False
    broken: str = ""
    bytes: int = 0


class RelayConnection(asyncio.Protocol):
    """One request at a time: `ask`, then `head`, then `piece` until it is None, or `body`; then `free` or `abort`.

    `head` and `piece` return early, without anything, after `nudge`; all that wait raise AnswerBroken. Who wants the
    body as a whole needs no `head`. `on_lost` hears when the connection is gone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[RelayConnection], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: _Answer | None = None
        self._interim = False
        self._unasked = False
        self._pieces: list[bytes] = []
        self._held = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._wants = _Wants.HEAD
        self._reusable = False
        self._on_whole: Callable[[], None] | None = None
        self._idle_since_s = 0.0
        self.asked_before = False
        """Whether it has carried another request: its engine may have closed it meanwhile."""

    @property
    def closed(self) -> bool:
        """It is gone, or about to be."""
        return self._transport is None or self._transport.is_closing()

    @property
    def idle_s(self) -> float:
        """How long it has waited for a request."""
        return self._loop.time() - self._idle_since_s

    @property
    def reusable(self) -> bool:
        """The answer has come to its end, and the connection may carry another one."""
        return self._reusable and not self._unasked and self._transport is not None and not self._transport.is_closing()

    @property
    def draining(self) -> bool:
        """The answer has not come to its end, and nothing is wrong so far."""
        answer = self._answer
        return answer is not None and not answer.whole and not answer.broken and not self.closed

    @property
    def status(self) -> int:
        """Of the answer whose head has come."""
        assert self._answer is not None
        return self._answer.status

    @property
    def content_type(self) -> bytes:
        """Of the answer whose head has come; empty where the engine does not say."""
        assert self._answer is not None
        return self._answer.content_type

    def ask(self, request: bytes) -> None:
        """Send a whole request."""
        self._answer, self._reusable = _Answer(), False
        if self._transport is None:
            self._answer.broken = "the connection was closed"
            return
        self._transport.write(request)

    async def head(self) -> bool:
        """Wait for status and headers; False after a nudge."""
        answer = self._asked()
        if not answer.head_came and not answer.broken:
            await self._news(_Wants.HEAD)
        if answer.broken and not answer.head_came:
            raise AnswerBroken(answer.broken, begun=answer.bytes > 0)
        return answer.head_came

    async def piece(self) -> bytes | None:
        """What has come since the last time, None at the end; empty after a nudge."""
        answer = self._asked()
        if not self._pieces and not answer.whole and not answer.broken:
            await self._news(_Wants.PIECE)
        if self._pieces:
            return self._taken()
        if answer.broken:
            raise AnswerBroken(answer.broken, begun=True)
        return None if answer.whole else b""

    async def body(self) -> bytes:
        """The whole body."""
        answer = self._asked()
        while not answer.whole and not answer.broken:
            await self._news(_Wants.WHOLE)
        if answer.broken:
            raise AnswerBroken(answer.broken, begun=answer.bytes > 0)
        return self._taken()

    def nudge(self) -> None:
        """Let whoever waits here look up."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def abort(self) -> None:
        """Close it at once: the engine ends its work on what was asked."""
        self._answer, self._on_whole = None, None
        self._pieces.clear()
        if self._transport is not None:
            self._transport.abort()

    def drain(self, on_whole: Callable[[], None]) -> None:
        """What is yet to come of the answer is of no interest; `on_whole` hears when it has ended, or is broken."""
        self._on_whole = on_whole
        self._pieces.clear()

    def freed(self) -> None:
        """The answer was read; the connection waits for another request."""
        self._answer, self._on_whole = None, None
        self._pieces.clear()
        self._held = 0
        self._idle_since_s = self._loop.time()
        self.asked_before = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio."""
        answer = self._answer
        if answer is None or answer.whole or answer.broken:
            self._reusable = False  # nobody asked for more
            self._close()
            return
        answer.bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            answer.broken = "it sent something that is not HTTP"
        if answer.bytes > MAX_HEAD_BYTES and (not answer.head_came or answer.head_bytes > MAX_HEAD_BYTES):
            answer.broken = f"the head of its answer is longer than {MAX_HEAD_BYTES} bytes"
        if answer.broken:
            self._close()
        if answer.broken or answer.whole or self._is_wanted(answer):
            self.nudge()
            if self._on_whole is not None:
                self._on_whole()

    def eof_received(self) -> bool:
        """asyncio: an engine that closed its half has nothing more to say."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio."""
        self._transport = None
        answer = self._answer
        if answer is not None and not answer.whole and not answer.broken:
            if answer.head_came and answer.ends_with_connection and exc is None:
                answer.whole = True
            elif answer.bytes:
                answer.broken = "the connection was lost in the middle of its answer"
            else:
                answer.broken = str(exc) if exc is not None else "the connection was closed before its answer"
        self.nudge()
        self._on_lost(self)

    def on_message_begin(self) -> None:
        """httptools."""
        assert self._answer is not None
        self._unasked = self._answer.whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools."""
        answer = self._answer
        assert answer is not None  # as in what follows: a call of `_asked` each time is felt
        answer.head_bytes += len(name) + len(value)
        name = name.lower()
        if name == b"content-type":
            answer.content_type = value
        elif name in (b"content-length", b"transfer-encoding"):
            answer.ends_with_connection = False

    def on_headers_complete(self) -> None:
        """httptools. An interim answer (1xx) is not the one that was asked for."""
        answer, status = self._answer, self._parser.get_status_code()
        if self._unasked:
            return
        assert answer is not None
        self._interim = 100 <= status < 200
        if self._interim:
            answer.content_type, answer.ends_with_connection = b"", True
            return
        answer.status, answer.head_came = status, True

    def on_body(self, piece: bytes) -> None:
        """httptools."""
        if self._unasked:
            return
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held <= PAUSE_BYTES:
            return
        if self._wants is _Wants.WHOLE:
            if self._held > MAX_WHOLE_BYTES:
                self._asked().broken = f"its answer is longer than {MAX_WHOLE_BYTES} bytes"
        elif not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """httptools."""
        if self._interim or self._unasked:
            self._interim = False
            return
        assert self._answer is not None
        self._answer.whole = True
        self._reusable = self._parser.should_keep_alive()

    def _asked(self) -> _Answer:
        assert self._answer is not None, "nothing was asked"
        return self._answer

    def _taken(self) -> bytes:
        pieces, self._pieces, self._held = self._pieces, [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _is_wanted(self, answer: _Answer) -> bool:
        return answer.head_came if self._wants is _Wants.HEAD else self._wants is _Wants.PIECE and bool(self._pieces)

    def _news(self, wants: _Wants) -> asyncio.Future[None]:
        """Done at the next nudge."""
        self._wants, self._waiter = wants, self._loop.create_future()
        return self._waiter

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
