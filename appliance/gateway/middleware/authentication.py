"""Asks for a bearer key on every path but the open ones, by the path that ASGI routes on, before anything is read."""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.errors import NotAuthenticated
from appliance.gateway import exchange as exchanges
from appliance.gateway.auth import WAY_OUT, Authenticator


class Authentication:
    """Sets the exchange's tenant or raises NotAuthenticated."""

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator, open_paths: Collection[str]) -> None:
        self._app = app
        self._authenticator = authenticator
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            exchanges.of(scope).tenant = self._authenticator.tenant(_credential(scope))
        await self._app(scope, receive, send)


def _credential(scope: Scope) -> bytes | None:
    """The bearer key; None without an Authorization header. Two headers, or another scheme, are a refusal."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if not values:
        return None
    scheme, _, credential = values[0].strip().partition(b" ")
    if len(values) > 1 or scheme.lower() != b"bearer" or not credential.strip():
        raise NotAuthenticated(f"the Authorization header is not one bearer key; {WAY_OUT}")
    return bytes(credential.strip())
