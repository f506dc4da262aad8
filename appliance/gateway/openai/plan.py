"""`POST /v1/plan`: the body of a chat completion, answered with what it would take; nothing runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from fastapi import APIRouter, Request

from appliance.domain.forecast import Forecast
from appliance.domain.request import ChatRequest
from appliance.domain.tenant import Tenant
from appliance.gateway import exchange as exchanges
from appliance.gateway.openai.body import RequestLimits
from appliance.gateway.openai.described import described
from appliance.gateway.openai.schema import ChatCompletionBody, parse


class Forecaster(Protocol):
    """What this route needs of the coordinator."""

    def forecast(self, request: ChatRequest, *, tenant: Tenant) -> Forecast:
        """How a request would be answered now, and what that takes. Raises RequestError."""
        ...


def router(forecaster: Forecaster, limits: RequestLimits) -> APIRouter:
    """The route around one coordinator."""
    routes = APIRouter(tags=["chat"])

    @routes.post("/v1/plan", **described(ChatCompletionBody))
    async def plan(request: Request) -> dict[str, Any]:
        """Predicted strategy, roles, models, calls, tokens, seconds, GPU-seconds and KV memory of this request.

        Seconds are those until the whole answer, the queue as it is now included.
        """
        body = parse(await request.body(), limits)
        exchange = exchanges.of(request.scope)
        assert exchange.tenant is not None, "authentication comes before routing"
        return document(forecaster.forecast(body.to_domain(), tenant=exchange.tenant))

    return routes


def document(forecast: Forecast) -> dict[str, Any]:
    """A forecast as JSON: figures of one call are averages."""
    return {"object": "plan.forecast", **_rounded(asdict(forecast))}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value
