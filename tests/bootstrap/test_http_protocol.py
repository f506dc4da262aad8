"""What may come before a body is bounded, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from appliance.bootstrap.http_protocol import MOST_HEAD_BYTES, MOST_HEADERS
from appliance.bootstrap.server import HttpServer, listen

LINE = b"POST / HTTP/1.1\r\nhost: a\r\n"


async def polite(_scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and says how long it was."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(str(size)))]})
    await send({"type": "http.response.body", "body": str(size).encode()})


def served(test: Callable[[int], Awaitable[None]]) -> None:
    async def main() -> None:
        listener = listen("127.0.0.1", 0)
        server = HttpServer(polite, listener)
        serving = asyncio.create_task(server.serve())
        try:
            await asyncio.wait_for(test(listener.getsockname()[1]), 20)
        finally:
            server.stop()
            await serving

    asyncio.run(main())


async def said(port: int, *pieces: bytes) -> bytes:
    """What comes back; the connection is closed by us unless the server does it first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await reader.read(1_000)
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"x-%d: 1\r\n" % number for number in range(MOST_HEADERS)) + b"\r\n",
        b"x: " + b"a" * MOST_HEAD_BYTES + b"\r\n\r\n",
    ],
)
def test_heads_that_are_too_large_are_refused(head: bytes) -> None:
    async def test(port: int) -> None:
        assert (await said(port, LINE + head)).startswith(b"HTTP/1.1 400")

    served(test)


def test_a_header_without_end_is_cut_off() -> None:
    async def test(port: int) -> None:
        answer = await said(port, LINE + b"x: ", *([b"a" * 8_192] * (MOST_HEAD_BYTES // 8_192 + 2)))
        assert answer == b"reset" or answer.startswith(b"HTTP/1.1 400")

    served(test)


def test_bodies_and_further_requests_on_a_connection_are_not_heads() -> None:
    async def test(port: int) -> None:
        size = 3 * MOST_HEAD_BYTES
        request = LINE + b"content-length: %d\r\n\r\n" % size
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request)
            for _ in range(3):
                writer.write(b"a" * MOST_HEAD_BYTES)
                await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(len(str(size))) == str(size).encode()
        writer.close()

    served(test)
