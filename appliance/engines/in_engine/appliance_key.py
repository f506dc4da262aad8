"""ASGI middleware for vLLM's server: nothing is answered without the engine's key but the two routes that tell no text.

vLLM asks for its key below /v1 only. /invocations answers chats without one, and so do /tokenize and, where models take
turns, the development routes, which can put an engine to sleep; every user of the machine could call them.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/health", "/metrics"})
_REFUSAL = b'{"error": {"message": "this engine belongs to an appliance; ask that", "code": 401}}'


class ApplianceKey:
    """Outermost: looks at the key before anything else of the server runs."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._wanted = b"Bearer " + os.environ["VLLM_API_KEY"].encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket") or self._may(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_REFUSAL)).encode())]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})

    def _may(self, scope: Message) -> bool:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in OPEN:
            return True
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._wanted)
