"""A kept-alive HTTP/1.1 connection that carries one request at a time, on a bare asyncio protocol."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import httptools

from appliance.bench.exchange import Exchange

PATH: Final = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Target:
    """A server: its address up to `/v1`, a key if it asks for one, the certificate that it has to show if known."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    certificate: Path | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    def context(self) -> ssl.SSLContext | None:
        """For TLS; a known certificate holds by whatever name the server is reached."""
        if not self.url.startswith("https://"):
            return None
        context = ssl.create_default_context(cafile=None if self.certificate is None else str(self.certificate))
        if self.certificate is not None:
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def request(self, request_id: str, body: bytes) -> bytes:
        """A whole request as bytes."""
        parts = urlsplit(self.url)
        lines = [
            f"POST {parts.path.rstrip('/')}{PATH} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"X-Request-Id: {request_id}",
        ]
        if self.api_key is not None:
            lines.append(f"Authorization: Bearer {self.api_key}")
        return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """`on_end` hears when the answer is whole, or the connection is lost in the middle of it."""

    def __init__(self, on_end: Callable[[Connection, Exchange], None]) -> None:
        self._on_end = on_end
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._now_s = 0.0
        self.idle_since_s = 0.0

    @property
    def usable(self) -> bool:
        """It may carry another request."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, exchange: Exchange, request: bytes) -> None:
        """Ask."""
        assert self._transport is not None
        self._exchange = exchange
        exchange.sent_s = time.monotonic()
        self._transport.write(request)

    def close(self, failure: str = "") -> None:
        """Close it; an answer that is under way ends with `failure`."""
        if self._transport is not None:
            self._transport.abort()
        if failure:
            self._now_s = time.monotonic()
            self._ended(failure)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio."""
        self._now_s = time.monotonic()
        exchange = self._exchange
        if exchange is None:
            self.close()
            return
        if exchange.first_byte_s is None:
            exchange.first_byte_s = self._now_s
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close("an answer that is not HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio."""
        self._transport = None
        self._now_s = time.monotonic()
        self._ended("the connection was lost" if exc is None else f"the connection was lost: {exc}")

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools."""
        if self._exchange is not None and name.lower() == b"x-trace-id":
            self._exchange.trace_id = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """httptools."""
        if self._exchange is not None:
            self._exchange.status = self._parser.get_status_code()

    def on_body(self, piece: bytes) -> None:
        """httptools."""
        if self._exchange is not None:
            self._exchange.take(piece, self._now_s)

    def on_message_complete(self) -> None:
        """httptools."""
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        self._ended("")

    def _ended(self, failure: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.end(self._now_s, failure)
            self.idle_since_s = self._now_s
            self._on_end(self, exchange)
