"""The two ways to answer a request, streamed and whole, as ASGI responses that drive the coordinator."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from appliance.domain.request import AnswerEvent, ChatRequest, ContentDelta, Finished, Origin
from appliance.domain.tenant import Tenant
from appliance.gateway import exchange as exchanges
from appliance.gateway.disconnect import until_disconnect
from appliance.gateway.error_responses import ErrorAnswer, translate
from appliance.gateway.exchange import Exchange
from appliance.gateway.middleware.door import report
from appliance.gateway.sse import EventStream

Events = AsyncGenerator[AnswerEvent, None]

_GONE = 499
"""Status for the log and the metrics, as nginx has it; nobody is there to receive it."""


class Answerer(Protocol):
    """What the door needs of the coordinator: an answer as events, Finished last."""

    def answer(self, request: ChatRequest, *, request_id: str, trace_id: str, tenant: Tenant, origin: Origin) -> Events:
        """Start to answer. Closing the generator cancels every call below it."""


class Fold(Protocol):
    """Makes one document of an answer's events."""

    def take(self, event: AnswerEvent) -> None:
        """Add one event; they come in their order."""

    def document(self) -> dict[str, Any]:
        """The response's body, once Finished has come."""


class Writer(Protocol):
    """Makes server-sent events of an answer's events; every method returns whole ones, or nothing."""

    def opening(self) -> bytes:
        """What stands before the first event."""

    def event(self, event: AnswerEvent) -> bytes:
        """One event of the answer."""

    def failed(self, answer: ErrorAnswer) -> bytes:
        """An error after the first byte."""

    def closing(self) -> bytes:
        """What stands after the last event, failed or not."""


class _Answer(Response):
    """Common to both: the caller's leaving closes the events."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchanges.of(scope)
        if not await until_disconnect(receive, self._answer(exchange, send)):
            exchange.error = "the caller went away"
            exchange.status = exchange.status or _GONE

    async def _answer(self, exchange: Exchange, send: Send) -> None:
        raise NotImplementedError

    def _note(self, exchange: Exchange, event: AnswerEvent) -> None:
        if isinstance(event, ContentDelta) and exchange.first_token_s is None:
            exchange.first_token_s = time.monotonic() - exchange.started_s
        elif isinstance(event, Finished):
            exchange.strategy = event.strategy


class WholeAnswer(_Answer):
    """One JSON document."""

    def __init__(self, events: Events, fold: Fold) -> None:
        super().__init__(events)
        self._fold = fold

    async def _answer(self, exchange: Exchange, send: Send) -> None:
        async with aclosing(self._events) as events:
            async for event in events:
                self._note(exchange, event)
                self._fold.take(event)
        body = orjson.dumps(self._fold.document())
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class StreamedAnswer(_Answer):
    """Server-sent events. An error before the stream began still has its own status; later it is an event."""

    def __init__(self, events: Events, writer: Writer, *, keep_alive_s: float) -> None:
        super().__init__(events)
        self._writer = writer
        self._keep_alive_s = keep_alive_s
        self._spoke_s: float | None = None

    async def _answer(self, exchange: Exchange, send: Send) -> None:
        async with (
            aclosing(self._events) as events,
            EventStream(send, self._writer.opening(), self._keep_alive_s) as stream,
        ):
            try:
                async for event in events:
                    self._note(exchange, event)
                    if isinstance(event, ContentDelta):
                        self._note_gap(exchange)
                    if said := self._writer.event(event):
                        await stream.say(said)
            except Exception as error:  # the door, after the first byte: whatever it is, it leaves as an event
                if not stream.begun:
                    raise
                report(error, exchange)
                await stream.say(self._writer.failed(translate(error)))
            await stream.say(self._writer.closing(), last=True)

    def _note_gap(self, exchange: Exchange) -> None:
        now_s = time.monotonic()
        if self._spoke_s is not None:
            exchange.token_gaps_s.append(now_s - self._spoke_s)
        self._spoke_s = now_s
