"""A mock engine that costs next to nothing: canned answers over a raw asyncio protocol.

`python -m appliance.bench.mock_engine --port 9000` answers POSTs like vLLM's chat completions. `max_tokens` is the
number of chunks of a stream, `seed` how many of them come each second; each chunk holds its number. `--first-s` is the
time before the first one. It also answers `GET /health` and `/v1/models` for those who ask before they send, and
`GET /stamps`: when each stream was asked for and when its first chunk was written, by `X-Request-Id`, on the monotonic
clock, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import orjson
import uvloop

from appliance.bench.timer import Timer

MODEL = "starter-generalist"
_TEXT = " ".join(["An engine is a server process that serves one model on given devices."] * 8)
_ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _TEXT, "refusal": None, "tool_calls": []},
                "logprobs": None,
                "finish_reason": "stop",
                "stop_reason": None,
            }
        ],
        "usage": {
            "prompt_tokens": 24,
            "total_tokens": 152,
            "completion_tokens": 128,
            "prompt_tokens_details": {"cached_tokens": 16},
        },
    }
)
_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
WHOLE = _JSON % (len(_ANSWER), _ANSWER)
_MODELS = orjson.dumps({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "vllm"}]})
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_EVENT = b'data: {"id":"chatcmpl-0","object":"chat.completion.chunk","created":1700000000,"model":"' + MODEL.encode()
_CHUNK = _EVENT + b'","choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}\n\n'
_USAGE = _EVENT + (b'","choices":[],"usage":{"prompt_tokens":24,"total_tokens":%d,"completion_tokens":%d}}\n\n')
_USUAL_TOKENS, _USUAL_RATE = 64, 50
_REQUEST_ID = re.compile(rb"x-request-id: *([^\r]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOKENS = re.compile(rb'"max_tokens": *(\d+)')
_RATE = re.compile(rb'"seed": *(\d+)')
_STREAMED = re.compile(rb'"stream": *true')
_WITH_USAGE = re.compile(rb'"include_usage": *true')


def framed(event: bytes) -> bytes:
    """As one piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(event), event)


@dataclass(slots=True)
class Manner:
    """How all connections answer, and what is noted of their streams. `later` does something at a time."""

    later: Callable[[float, Callable[[], None]], None]
    first_s: float = 0.0
    stamps: dict[str, list[float]] = field(default_factory=dict)


class Punctual:
    """Does things at their times to within some 50 µs, each by itself.

    A loop's own timers count in whole milliseconds, so that what is due in the same one is done in a burst.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = Timer(loop, self._do)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def later(self, at_s: float, action: Callable[[], None]) -> None:
        """`action` at `at_s` of the monotonic clock."""
        self._number += 1
        heapq.heappush(self._due, (at_s, self._number, action))
        if self._due[0][0] == at_s:
            self._timer.set(at_s)

    def _do(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        if self._due:
            self._timer.set(self._due[0][0])


def in_milliseconds(loop: asyncio.AbstractEventLoop) -> Callable[[float, Callable[[], None]], None]:
    """By the loop's own timers."""

    def later(at_s: float, action: Callable[[], None]) -> None:
        loop.call_later(max(0.0, at_s - time.monotonic()), action)

    return later


class _Stream:
    """Writes its chunks at the times at which they are due, several at once where it is late.

    `stamps` hears when it was asked and when it wrote the first chunk.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        tokens: int,
        rate: int,
        *,
        with_usage: bool,
        manner: Manner,
        stamps: list[float],
    ) -> None:
        self._transport = transport
        self._tokens = tokens
        self._rate = rate
        self._with_usage = with_usage
        self._sent = 0
        self._later = manner.later
        self._stamps = stamps
        asked_s = time.monotonic()
        stamps.append(asked_s)
        self._began_s = asked_s + manner.first_s
        transport.write(_HEAD + framed(_CHUNK % (b'{"role":"assistant","content":""}', b"null")))
        if manner.first_s > 0:
            self._later(self._began_s, self._go)
        else:
            self._go()

    def _go(self) -> None:
        if self._transport.is_closing():
            return
        now_s = time.monotonic()
        due = min(self._tokens, max(0, int((now_s - self._began_s) * self._rate)) + 1)
        if not self._sent:
            self._stamps.append(now_s)
        pieces = [framed(_CHUNK % (b'{"content":"%d "}' % number, b"null")) for number in range(self._sent, due)]
        self._sent = due
        if due == self._tokens:
            pieces.append(framed(_CHUNK % (b'{"content":""}', b'"stop"')))
            if self._with_usage:
                pieces.append(framed(_USAGE % (24 + self._tokens, self._tokens)))
            pieces.append(framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        if pieces:
            self._transport.write(b"".join(pieces))
        if due < self._tokens:
            self._later(self._began_s + self._sent / self._rate, self._go)


class MockEngine(asyncio.Protocol):
    """One connection."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio."""
        data = self._rest + data if self._rest else data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(data, 0, end)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(data) < size:
                break
            self._answer(data[:size])
            data = data[size:]
        self._rest = data

    def _answer(self, request: bytes) -> None:
        assert self._transport is not None
        if request.startswith(b"GET /stamps"):
            stamps = orjson.dumps(self._manner.stamps)
            self._transport.write(_JSON % (len(stamps), stamps))
        elif request.startswith(b"GET"):
            self._transport.write(_JSON % (len(_MODELS), _MODELS))
        elif _STREAMED.search(request):
            tokens, rate = _TOKENS.search(request), _RATE.search(request)
            _Stream(
                self._transport,
                int(tokens[1]) if tokens else _USUAL_TOKENS,
                int(rate[1]) if rate else _USUAL_RATE,
                with_usage=_WITH_USAGE.search(request) is not None,
                manner=self._manner,
                stamps=self._stamps_of(request),
            )
        else:
            self._transport.write(WHOLE)

    def _stamps_of(self, request: bytes) -> list[float]:
        named = _REQUEST_ID.search(request)
        return [] if named is None else self._manner.stamps.setdefault(named[1].decode("latin-1"), [])


async def _serve(port: int, first_s: float, *, punctual: bool) -> None:
    loop = asyncio.get_running_loop()
    manner = Manner(Punctual(loop).later if punctual else in_milliseconds(loop), first_s)
    server = await loop.create_server(lambda: MockEngine(manner), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first-s", type=float, default=0.0, help="before the first chunk of a stream")
    parser.add_argument("--punctual", action="store_true", help="chunks at their very times, at more cost for each")
    said = parser.parse_args()
    uvloop.run(_serve(said.port, said.first_s, punctual=said.punctual))


if __name__ == "__main__":
    main()
