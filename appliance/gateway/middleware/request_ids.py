"""Gives every request its ids: a sane `x-request-id` or `traceparent` of the caller is kept, any other is dropped."""

from __future__ import annotations

import re
import time

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.gateway import exchange as exchanges
from appliance.gateway.exchange import Exchange, make_id, make_trace_id

_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00: trace id, span id, flags."""


def sane_request_id(given: str) -> str | None:
    """The caller's own id of a request, where it may be written into logs and headers."""
    return given if _SANE.fullmatch(given) else None


def sane_traceparent(given: str) -> str | None:
    """The caller's own trace, where it is one."""
    return given if _TRACEPARENT.fullmatch(given) else None


class RequestIds:
    """Outermost: attaches the exchange, binds the request id to the log, adds the exchange's headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = sane_request_id(headers.get("x-request-id", "")) or make_id("req")
        exchange = Exchange(
            request_id=request_id,
            trace_id=make_trace_id(),
            started_s=time.monotonic(),
            traceparent=sane_traceparent(headers.get("traceparent", "")),
        )
        exchange.headers.append((b"x-request-id", request_id.encode()))
        exchanges.attach(scope, exchange)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *exchange.headers]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, with_headers)
