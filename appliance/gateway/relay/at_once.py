"""A whole answer written in one go, where the server offers it: the bytes of its head are ready, so nobody reads them.

A server checks every header of an answer and writes head and body one after the other; for a short answer that is a
large part of what is done. Ours are made here, so they need no check; the engine's content type gets one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from starlette.types import Scope

EXTENSION: Final = "appliance.at_once"
"""Its name among the ASGI extensions of a request."""

JSON: Final = b"application/json"
_SANE_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

AtOnce = Callable[[bytes, bytes], bool]
"""Write an answer with status 200: its headers, each with its end of line, and its body, whose length they tell. False:
that can't be done now, and nothing was done; the ordinary `send` can."""


def at_once(scope: Scope) -> AtOnce | None:
    """The server's offer."""
    extensions = scope.get("extensions")
    return extensions.get(EXTENSION) if extensions else None


def head_of(
    kind: bytes, length: int, request_id: str, trace_id: str, more: Iterable[tuple[bytes, bytes]]
) -> bytes | None:
    """The headers; None where the engine's content type is nothing that may stand in one."""
    if kind != JSON and not _SANE_VALUE.fullmatch(kind):
        return None
    ids = f"x-request-id: {request_id}\r\nx-trace-id: {trace_id}\r\n".encode()
    head = b"content-type: %b\r\ncontent-length: %d\r\n%b" % (kind, length, ids)
    for name, value in more:
        head += b"%b: %b\r\n" % (name, value)
    return head
