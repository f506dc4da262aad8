"""uvicorn's HTTP/1.1, with a bound on what may come before a body, and with answers that are written in one go.

The parser itself would keep headers without end.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from appliance.gateway.relay.at_once import EXTENSION

MOST_HEADERS: Final = 100
MOST_HEAD_BYTES: Final = 65_536
"""The request line and all headers. Common proxies allow a quarter of it."""


class BoundedProtocol(HttpToolsProtocol):
    """Ends a connection whose request has too many headers, or a head that is too long, with status 400."""

    _head_bytes = 0
    _headers_seen = 0
    _size = 0
    _longest = 0
    """What has come with this request so far: none of its headers can be longer."""
    _in_head = True

    def data_received(self, data: bytes) -> None:
        """Bytes of the connection; a head that is still open after them must be short."""
        self._size = len(data)
        self._longest += self._size
        if self._in_head:
            self._head_bytes += self._size
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One whole header. What is raised here is answered with status 400."""
        self._headers_seen += 1
        if self._headers_seen > MOST_HEADERS:
            raise ValueError("too many headers")
        if self._longest > MOST_HEAD_BYTES and len(name) + len(value) > MOST_HEAD_BYTES:
            raise ValueError("the header is too long")
        name = name.lower()  # from here on as uvicorn's own, which one call for each header is saved by
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """What comes now is a body. The request may be answered at once."""
        self._in_head = False
        super().on_headers_complete()
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[EXTENSION] = partial(_answer_at_once, self.cycle)

    def on_message_complete(self) -> None:
        """The next bytes are another request's."""
        self._in_head, self._head_bytes, self._headers_seen = True, 0, 0
        self._longest = self._size  # what comes in the same piece may be the next one's
        super().on_message_complete()


def _answer_at_once(cycle: RequestResponseCycle, head: bytes, body: bytes) -> bool:
    """What the cycle's own `send` does with a start and the whole body after it; False where it has to be asked.

    That is where it would wait, refuse, log, or write something else.
    """
    if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or cycle.access_log:
        return False
    if cycle.scope["method"] == "HEAD":
        return False
    cycle.waiting_for_100_continue = False
    cycle.response_started = cycle.response_complete = True
    end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    cycle.transport.writelines((_OK, _lines(tuple(cycle.default_headers)), head, end, body))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


@lru_cache(maxsize=4)
def _lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Those of the server itself; its clock makes them anew each second."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


_OK: Final = STATUS_LINE[200]
