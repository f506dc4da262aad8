"""The two ways to answer a chat request, streamed and whole, as ASGI responses that drive the coordinator."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from appliance.domain.request import AnswerEvent, ChatRequest, ContentDelta, Finished, Origin, ReasoningDelta
from appliance.domain.tenant import Tenant
from appliance.gateway import exchange as exchanges
from appliance.gateway.disconnect import until_disconnect
from appliance.gateway.error_responses import translate
from appliance.gateway.exchange import Exchange
from appliance.gateway.middleware.door import report
from appliance.gateway.openai.chunks import DONE, ChunkWriter
from appliance.gateway.openai.completion import CompletionFold
from appliance.gateway.sse import EventStream

Events = AsyncGenerator[AnswerEvent, None]

_GONE = 499
"""Status for the log and the metrics, as nginx has it; nobody is there to receive it."""


class Answerer(Protocol):
    """What the door needs of the coordinator: an answer as events, Finished last."""

    def answer(self, request: ChatRequest, *, request_id: str, trace_id: str, tenant: Tenant, origin: Origin) -> Events:
        """Start to answer. Closing the generator cancels every call below it."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What identifies one answer to its caller."""

    completion_id: str
    created_unix_s: int
    model: str


class _Answer(Response):
    """Common to both: the caller's leaving closes the events."""

    def __init__(self, events: Events, labels: Labels) -> None:
        super().__init__()
        self._events = events
        self._labels = labels

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

    async def _answer(self, exchange: Exchange, send: Send) -> None:
        fold = CompletionFold()
        async with aclosing(self._events) as events:
            async for event in events:
                self._note(exchange, event)
                fold.take(event)
        labels = self._labels
        document = fold.document(
            completion_id=labels.completion_id, created_unix_s=labels.created_unix_s, model=labels.model
        )
        body = orjson.dumps(document)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class StreamedAnswer(_Answer):
    """Server-sent events. An error before the stream began still has its own status; later it is an event."""

    def __init__(self, events: Events, labels: Labels, *, include_usage: bool, keep_alive_s: float) -> None:
        super().__init__(events, labels)
        self._include_usage = include_usage
        self._keep_alive_s = keep_alive_s
        self._writer = ChunkWriter(
            completion_id=labels.completion_id, created_unix_s=labels.created_unix_s, model=labels.model
        )

    async def _answer(self, exchange: Exchange, send: Send) -> None:
        async with (
            aclosing(self._events) as events,
            EventStream(send, self._writer.role(), self._keep_alive_s) as stream,
        ):
            try:
                async for event in events:
                    self._note(exchange, event)
                    await stream.say(b"".join(self._bytes(event)))
            except Exception as error:  # the door, after the first byte
                if not stream.begun:
                    raise
                report(error, exchange)
                await stream.say(self._writer.error(translate(error)))
            await stream.say(DONE, last=True)

    def _bytes(self, event: AnswerEvent) -> Iterable[bytes]:
        match event:
            case ReasoningDelta():
                yield self._writer.reasoning(event)
            case ContentDelta():
                yield self._writer.content(event)
            case Finished():
                yield self._writer.finish(event)
                if self._include_usage:
                    yield self._writer.usage(event)
