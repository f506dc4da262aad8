"""The gateway's application: routes, and the middleware around them, outermost first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from appliance.access.limits import Headers
from appliance.domain.audit import Audit
from appliance.domain.fleet import Fleet
from appliance.domain.tenant import Tenant
from appliance.gateway import operations, replay, traces, usage
from appliance.gateway.auth import Authenticator
from appliance.gateway.error_responses import http_error
from appliance.gateway.middleware.access import Access
from appliance.gateway.middleware.audit import Auditing
from appliance.gateway.middleware.authentication import Authentication
from appliance.gateway.middleware.body_limit import BodyLimit
from appliance.gateway.middleware.door import Door
from appliance.gateway.middleware.rate_limits import HeadersOf, RateLimits
from appliance.gateway.middleware.request_ids import RequestIds
from appliance.gateway.openai import chat, embeddings, models, plan, scoring, text_completions, tokens
from appliance.gateway.openai.answers import Answerer
from appliance.gateway.openai.body import DEFAULT_LIMITS, RequestLimits
from appliance.gateway.openai.intake import Intake
from appliance.gateway.openai.models import ModelListing
from appliance.gateway.openai.plan import Forecaster
from appliance.gateway.openai.responses import route as responses
from appliance.gateway.openapi import Documented
from appliance.gateway.operations import AllMetrics, RoleModels
from appliance.gateway.relay.relay import Relay, RelayParts
from appliance.gateway.traces import TraceReader
from appliance.gateway.usage import UsageReader
from appliance.ledger.audit_log import NO_AUDIT
from appliance.telemetry.metrics import Metrics

OPEN_PATHS: Final = frozenset({"/health"})
"""What needs no key unless the configuration says more. Exact paths: everything else is closed."""


def _no_limits(_tenant: Tenant, _now_s: float) -> Headers:
    return []


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """What the gateway is made of. Without `relay` every request takes the ordinary route."""

    answerer: Answerer
    forecaster: Forecaster
    traces: TraceReader
    usage: UsageReader
    fleet: Fleet
    metrics: Metrics
    authenticator: Authenticator
    role_models: RoleModels
    models: Sequence[ModelListing]
    max_body_bytes: int
    keep_alive_s: float
    all_metrics: AllMetrics | None = None
    open_paths: frozenset[str] = OPEN_PATHS
    rate_limits: HeadersOf = _no_limits
    limits: RequestLimits = DEFAULT_LIMITS
    audit: Audit = NO_AUDIT
    relay: RelayParts | None = None


class Gateway(Documented):
    """The application, with the fast path before its middleware and its routes.

    What FastAPI and Starlette do for every request before any middleware costs as much as the fast path's own checks.
    """

    def __init__(self, relay: RelayParts | None, **options: Any) -> None:
        super().__init__(**options)
        self._relay = None if relay is None else Relay(super().__call__, parts=relay)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if self._relay is not None and scope["type"] == "http" and self._relay.may_take(scope):
            await self._relay(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def build(parts: GatewayParts, *, version: str) -> FastAPI:
    """The ASGI application. No page of it loads anything from elsewhere, so the documentation pages are off."""
    app = Gateway(
        parts.relay,
        open_paths=parts.open_paths,
        title="Appliance",
        version=version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=_middleware(parts),
        exception_handlers={HTTPException: http_error, RequestValidationError: http_error},
    )
    intake = Intake(parts.answerer, parts.keep_alive_s, parts.limits)
    for room in (chat, responses, text_completions, embeddings, scoring, tokens):
        app.include_router(room.router(intake))
    app.include_router(plan.router(parts.forecaster, parts.limits))
    app.include_router(models.router(parts.models, parts.fleet, created_unix_s=int(time.time())))
    app.include_router(traces.router(parts.traces))
    app.include_router(usage.router(parts.usage))
    app.include_router(replay.router(parts.traces, parts.answerer))
    app.include_router(operations.router(parts.fleet, parts.role_models, parts.metrics, parts.all_metrics))
    return app


def _middleware(parts: GatewayParts) -> list[Middleware]:
    """Outermost first. Before all of them stands the fast path: `Gateway`."""
    return [
        Middleware(RequestIds),
        Middleware(Access, metrics=parts.metrics),
        Middleware(RateLimits, headers_of=parts.rate_limits),
        Middleware(Door),
        Middleware(Authentication, authenticator=parts.authenticator, open_paths=parts.open_paths),
        Middleware(Auditing, audit=parts.audit),
        Middleware(BodyLimit, max_body_bytes=parts.max_body_bytes),
    ]
