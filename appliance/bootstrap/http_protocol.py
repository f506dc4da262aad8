"""uvicorn's HTTP/1.1, with a bound on what may come before a body: the parser itself would keep headers without end."""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADERS: Final = 100
MOST_HEAD_BYTES: Final = 65_536
"""The request line and all headers. Common proxies allow a quarter of it."""


class BoundedProtocol(HttpToolsProtocol):
    """Ends a connection whose request has too many headers, or a head that is too long, with status 400."""

    _head_bytes = 0
    _headers_seen = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        """Bytes of the connection; a head that is still open after them must be short."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """A new request begins."""
        self._headers_seen = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One whole header. What is raised here is answered with status 400."""
        self._headers_seen += 1
        if self._headers_seen > MOST_HEADERS or len(name) + len(value) > MOST_HEAD_BYTES:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """What comes now is a body."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes are another request's."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()
