"""Counts and logs every request when it has ended: route, status, seconds; never its content."""

from __future__ import annotations

import time

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.gateway import exchange as exchanges
from appliance.gateway.exchange import Exchange
from appliance.telemetry.metrics import NO_CLASS, NO_STRATEGY, Metrics

_UNMATCHED = "unmatched"
_QUIET = frozenset({"/health", "/ready", "/metrics"})

_log = structlog.get_logger(__name__)


class Access:
    """Access log and request metrics."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._metrics.request_started()
        try:
            await self._app(scope, receive, send)
        finally:
            self._finish(scope, exchanges.of(scope))

    def _finish(self, scope: Scope, exchange: Exchange) -> None:
        duration_s = time.monotonic() - exchange.started_s
        route = getattr(scope.get("route"), "path", _UNMATCHED)
        status = exchange.status or 499
        self._count(exchange, route, status, duration_s)
        if route in _QUIET:
            return
        facts = {"method": scope["method"], "route": route, "status": status, "duration_s": round(duration_s, 4)}
        if exchange.strategy != NO_STRATEGY:
            facts |= {"strategy": exchange.strategy, "trace_id": exchange.trace_id}
        if exchange.error:
            facts["error"] = exchange.error
        _log.info("request", **facts)

    def _count(self, exchange: Exchange, route: str, status: int, duration_s: float) -> None:
        strategy, tenant = exchange.strategy, exchange.tenant
        named = NO_CLASS if tenant is None else tenant.policy
        self._metrics.request_finished(
            route=route, status=status, strategy=strategy, duration_s=duration_s, tenant_class=named
        )
        if exchange.first_token_s is not None:
            self._metrics.first_token(strategy=strategy, after_s=exchange.first_token_s, tenant_class=named)
        if exchange.token_gaps_s:
            self._metrics.token_gaps(strategy=strategy, gaps_s=exchange.token_gaps_s, tenant_class=named)
