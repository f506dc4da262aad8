"""Asks who calls on every path but the open ones, by the path that ASGI routes on, before anything is read."""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.gateway import exchange as exchanges
from appliance.gateway import scopes
from appliance.gateway.auth import Authenticator, presented


class Authentication:
    """Sets the exchange's tenant, or raises NotAuthenticated or, without the scope that the path needs, NotAllowed."""

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator, open_paths: Collection[str]) -> None:
        self._app = app
        self._authenticator = authenticator
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            shown = presented(scope)
            tenant = self._authenticator.known(shown)
            if tenant is None:
                tenant = await self._authenticator.found(shown)
            exchanges.of(scope).tenant = tenant
            scopes.check(tenant, scope["path"])
        await self._app(scope, receive, send)
