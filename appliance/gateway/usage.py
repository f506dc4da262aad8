"""`GET /v1/usage`: what was consumed, and what it cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Request

from appliance.domain.tenant import Scope, Tenant
from appliance.errors import InvalidRequest, NotAllowed
from appliance.gateway import exchange as exchanges
from appliance.ledger.usage_query import UsageLine, UsageQuery, parse_groups


class UsageReader(Protocol):
    """What the door needs of the ledger."""

    async def report(self, query: UsageQuery) -> tuple[UsageLine, ...]:
        """Sums over calls."""


def router(reader: UsageReader) -> APIRouter:
    """The usage route around one ledger. An administrator sees every tenant, all others their own."""
    routes = APIRouter(tags=["usage"])

    @routes.get("/v1/usage")
    async def get_usage(
        request: Request,
        by: Annotated[str, Query(description="tenant, model, role, strategy, engine, node, day; by commas")] = "model",
        since: Annotated[float | None, Query(description="Unix seconds")] = None,
        until: Annotated[float | None, Query(description="Unix seconds; calls begun before it")] = None,
        tenant: Annotated[str | None, Query(description="Of one tenant only")] = None,
    ) -> dict[str, Any]:
        """Tokens, GPU-seconds, energy and money, summed over all calls of the time."""
        if since is not None and until is not None and until <= since:
            raise InvalidRequest("until: not after since", param="until")
        exchange = exchanges.of(request.scope)
        assert exchange.tenant is not None, "authentication comes before routing"
        query = UsageQuery(parse_groups(by), since, until, _visible(exchange.tenant, tenant))
        return {
            "object": "list",
            "by": [key.value for key in query.by],
            "data": [*map(asdict, await reader.report(query))],
        }

    return routes


def _visible(caller: Tenant, wanted: str | None) -> str | None:
    """The tenant that the report is of, None for all. Raises NotAllowed."""
    if Scope.ADMIN in caller.scopes:
        return wanted
    if wanted not in (None, caller.name):
        raise NotAllowed("tenant: only an administrator sees the usage of others; leave it out", param="tenant")
    return caller.name
