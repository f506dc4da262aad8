"""A stream of server-sent events that begins soon and is never silent for long."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from starlette.types import Send

FIRST_BYTE_S: Final = 0.2
"""A caller hears that the request was taken after this long at the latest; errors before it keep their HTTP status."""

KEEP_ALIVE: Final = b": keep-alive\n\n"
"""A comment: clients skip it, proxies see a connection in use."""

_HEADERS: Final = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


class EventStream:
    """One response of status 200, to be used as a context around everything that is said.

    `opening` goes out with the first words, or alone after FIRST_BYTE_S; from then on a comment follows whatever
    stays the last word for `keep_alive_s`. Two tasks send, so that no task has to be made for each event: the one that
    says, and the one that fills the silence; the lock keeps their bytes apart.
    """

    def __init__(self, send: Send, opening: bytes, keep_alive_s: float) -> None:
        self._send = send
        self._opening = opening
        self._keep_alive_s = keep_alive_s
        self._sending = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._last_s = 0.0
        self.begun = False
        """Whether the status was sent."""

    async def __aenter__(self) -> Self:
        self._silence = self._loop.create_task(self._fill_silence(), name="keep-alive")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._silence.cancel()
        with suppress(asyncio.CancelledError):
            await self._silence

    async def say(self, events: bytes, *, last: bool = False) -> None:
        """Send whole events; `last` ends the response."""
        async with self._sending:
            self._last_s = self._loop.time()
            if not self.begun:
                await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                self.begun = True  # only now: it may have been refused, and then the error gets a status of its own
                events = self._opening + events
            await self._send({"type": "http.response.body", "body": events, "more_body": not last})

    async def _fill_silence(self) -> None:
        await asyncio.sleep(FIRST_BYTE_S)
        if not self.begun:
            await self.say(b"")
        while True:
            silent_s = self._loop.time() - self._last_s
            if silent_s < self._keep_alive_s:
                await asyncio.sleep(self._keep_alive_s - silent_s)
            else:
                await self.say(KEEP_ALIVE)
