"""The one way from a route to the coordinator, and back as a response."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request, Response

from appliance.domain.request import ChatRequest, Origin
from appliance.gateway import exchange as exchanges
from appliance.gateway.openai.answers import Answerer, Events, Fold, StreamedAnswer, WholeAnswer, Writer
from appliance.gateway.openai.body import RequestLimits


@dataclass(frozen=True, slots=True)
class Labels:
    """What identifies one answer to its caller: its id is a prefix of its kind before `trace_id`."""

    trace_id: str
    created_unix_s: int
    model: str

    def id(self, prefix: str) -> str:
        """Such as `chatcmpl-…`."""
        return f"{prefix}-{self.trace_id}"


@dataclass(frozen=True, slots=True)
class Intake:
    """Hands requests to one coordinator. A stream that is silent for `keep_alive_s` gets a comment."""

    answerer: Answerer
    keep_alive_s: float
    limits: RequestLimits

    def whole(self, request: Request, wanted: ChatRequest, fold: Callable[[Labels], Fold]) -> Response:
        """The answer as one document."""
        return WholeAnswer(self._begun(request, wanted), fold(labels_of(request, wanted)))

    def streamed(self, request: Request, wanted: ChatRequest, writer: Callable[[Labels], Writer]) -> Response:
        """The answer as events."""
        events = self._begun(request, wanted)
        return StreamedAnswer(events, writer(labels_of(request, wanted)), keep_alive_s=self.keep_alive_s)

    def _begun(self, request: Request, wanted: ChatRequest) -> Events:
        exchange = exchanges.of(request.scope)
        assert exchange.tenant is not None, "authentication comes before routing"
        exchange.model, exchange.labels = wanted.model, frozenset(wanted.labels)
        exchange.headers.append((b"x-trace-id", exchange.trace_id.encode()))
        return self.answerer.answer(
            wanted,
            request_id=exchange.request_id,
            trace_id=exchange.trace_id,
            tenant=exchange.tenant,
            origin=Origin(exchange.traceparent),
        )


def labels_of(request: Request, wanted: ChatRequest) -> Labels:
    """Of the answer to this request, made now."""
    return Labels(exchanges.of(request.scope).trace_id, int(time.time()), wanted.model)
