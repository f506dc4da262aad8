"""A mock engine that costs next to nothing: canned answers over a raw asyncio protocol.

`python -m benchmarks.relay.mock_engine --port 9000` answers POSTs like vLLM's chat completions. `max_tokens` is the
number of chunks of a stream, `seed` how many of them come each second; each chunk holds its number. It also answers
`GET /health` and `/v1/models` for gateways that ask before they send.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from typing import cast

import orjson
import uvloop

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
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOKENS = re.compile(rb'"max_tokens": *(\d+)')
_RATE = re.compile(rb'"seed": *(\d+)')
_STREAMED = re.compile(rb'"stream": *true')
_WITH_USAGE = re.compile(rb'"include_usage": *true')


def framed(event: bytes) -> bytes:
    """As one piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(event), event)


class _Stream:
    """Writes its chunks at the times at which they are due, several at once where it is late."""

    def __init__(self, transport: asyncio.Transport, tokens: int, rate: int, *, with_usage: bool) -> None:
        self._transport = transport
        self._tokens = tokens
        self._rate = rate
        self._with_usage = with_usage
        self._sent = 0
        self._began_s = time.monotonic()
        transport.write(_HEAD + framed(_CHUNK % (b'{"role":"assistant","content":""}', b"null")))
        self._go()

    def _go(self) -> None:
        if self._transport.is_closing():
            return
        due = min(self._tokens, int((time.monotonic() - self._began_s) * self._rate) + 1)
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
            wait_s = self._began_s + self._sent / self._rate - time.monotonic()
            asyncio.get_running_loop().call_later(max(0.0, wait_s), self._go)


class MockEngine(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
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
        if request.startswith(b"GET"):
            self._transport.write(_JSON % (len(_MODELS), _MODELS))
        elif _STREAMED.search(request):
            tokens, rate = _TOKENS.search(request), _RATE.search(request)
            assert tokens is not None
            assert rate is not None
            _Stream(self._transport, int(tokens[1]), int(rate[1]), with_usage=_WITH_USAGE.search(request) is not None)
        else:
            self._transport.write(WHOLE)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(MockEngine, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
