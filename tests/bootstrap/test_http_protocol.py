"""What may come before a body is bounded, on real sockets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.bootstrap.http_protocol import MOST_HEAD_BYTES, MOST_HEADERS
from appliance.bootstrap.server import HttpServer, listen
from appliance.gateway.relay.at_once import EXTENSION

LINE = b"POST / HTTP/1.1\r\nhost: a\r\n"


async def polite(_scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and says how long it was."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(str(size)))]})
    await send({"type": "http.response.body", "body": str(size).encode()})


async def twice_over(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once where the path says so and it can be done; else in the ordinary way."""
    await receive()
    body = b"x" * int(scope["query_string"] or 5)
    offer, headers = scope["extensions"][EXTENSION], [(b"content-length", b"%d" % len(body)), (b"x-a", b"b")]
    head = b"".join(b"%b: %b\r\n" % header for header in headers)
    if scope["path"] == "/once" and offer(head, body):
        assert not offer(head, body)
        return
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    assert not offer(head, body)
    await send({"type": "http.response.body", "body": body})


def served(test: Callable[[int], Awaitable[None]], app: ASGIApp = polite) -> None:
    async def main() -> None:
        listener = listen("127.0.0.1", 0)
        server = HttpServer(app, listener)
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


@pytest.mark.parametrize(
    "requests",
    [
        "GET {} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET {} HTTP/1.0\r\nhost: a\r\n\r\n",
        "HEAD {} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "POST {} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab" * 2
        + "GET {} HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET {}?9000000 HTTP/1.1\r\nhost: a\r\n\r\n" * 2 + "GET {} HTTP/1.1\r\nconnection: close\r\n\r\n",
        "POST {} HTTP/1.1\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab",
    ],
)
def test_an_answer_at_once_has_the_bytes_of_any_other(requests: str) -> None:
    """Also of requests that come before the answer to the one before them has been read, or written."""

    async def test(port: int) -> None:
        answers = []
        for path in ("/once", "/sent"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(requests.replace("{}", path).encode())
            await asyncio.sleep(0.05)
            answers.append(re.sub(rb"date: [^\r]*", b"", await reader.read()))
            writer.close()
        assert answers[0] == answers[1]
        assert answers[0].count(b"HTTP/1.1 200 OK\r\n") == requests.count("{}")

    served(test, twice_over)


def test_a_head_of_one_header_that_is_too_long_behind_another_request_is_refused() -> None:
    async def test(port: int) -> None:
        second = LINE + b"x: " + b"a" * MOST_HEAD_BYTES + b"\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LINE + b"content-length: 0\r\n\r\n" + second)
        assert b"HTTP/1.1 400" in await reader.read()
        writer.close()

    served(test)
