"""Puts `x-ratelimit-*` on the answers of callers whose limits say something, as they are when the answer begins."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.access.limits import Headers
from appliance.domain.tenant import Tenant
from appliance.gateway import exchange as exchanges

HeadersOf = Callable[[Tenant, float], Headers]
"""A tenant and the monotonic time → its headers."""


class RateLimits:
    """Outside of the door, so that refusals carry them too."""

    def __init__(self, app: ASGIApp, *, headers_of: HeadersOf) -> None:
        self._app = app
        self._headers_of = headers_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                tenant = exchanges.of(scope).tenant
                if tenant is not None:
                    message["headers"] = [*message.get("headers", ()), *self._headers_of(tenant, time.monotonic())]
            await send(message)

        await self._app(scope, receive, with_headers)
