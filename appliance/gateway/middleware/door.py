"""Where exceptions end: every one becomes an answer in OpenAI's shape, and no traceback leaves the house."""

from __future__ import annotations

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.gateway import exchange as exchanges
from appliance.gateway.error_responses import response, translate
from appliance.gateway.exchange import Exchange

_log = structlog.get_logger(__name__)


class Door:
    """Catches what the inner applications raise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange, started = exchanges.of(scope), False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            exchange.error = "the caller went away"
        except Exception as error:  # the door: whatever it is, it leaves as one typed answer
            report(error, exchange)
            if not started:
                await response(error)(scope, receive, send)


def report(error: Exception, exchange: Exchange) -> None:
    """Note an error for the access log; one that nobody foresaw is logged with its frames."""
    exchange.error = reported(error)


def reported(error: Exception) -> str:
    """The word for an error in the access log; one that nobody foresaw is logged with its frames."""
    answer = translate(error)
    if answer.status == 500:
        _log.error("unforeseen error", exc_info=error)
    return answer.code or type(error).__name__
