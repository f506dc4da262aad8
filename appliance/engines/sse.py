"""Server-sent events: bytes as they arrive → payloads of `data:` fields."""

from __future__ import annotations

MAX_EVENT_BYTES = 16_000_000
"""An event longer than this is taken for garbage: vLLM sends one token, or one tool call, per event."""


class SseParser:
    """Holds what is left of a line or an event between two reads. Pure but for its own buffer.

    Lines end in LF or CRLF. Comments (`: keep-alive`) and fields other than `data` are skipped; several `data` lines
    of one event are joined by LF. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Payloads of the events that `piece` completes. ValueError when an event has no end."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        events = []
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                events.append(b"\n".join(self._data))
                self._data = []
        if len(self._rest) + sum(map(len, self._data)) > MAX_EVENT_BYTES:
            raise ValueError(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        return events

    def flush(self) -> list[bytes]:
        """The last event when the stream ended without the empty line after it."""
        return self.feed(b"\n\n") if self._rest or self._data else []
