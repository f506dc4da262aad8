"""`GET /v1/traces`: what was done for a request."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from appliance.domain.tenant import Tenant
from appliance.domain.trace import Outcome, Trace
from appliance.errors import NotFound
from appliance.gateway import exchange as exchanges
from appliance.gateway.openai.described import described
from appliance.ledger.trace_query import TracePage, TraceQuery

_trace = TypeAdapter(Trace)


class TraceReader(Protocol):
    """What the door needs of the ledger."""

    async def get(self, trace_id: str) -> Trace | None:
        """One trace."""

    async def page(self, query: TraceQuery) -> TracePage:
        """Traces in one line each, newest first."""


def dump(trace: Trace) -> bytes:
    """A trace as JSON."""
    return _trace.dump_json(trace)


def load(document: bytes) -> Trace:
    """JSON → trace."""
    return _trace.validate_json(document)


async def owned(reader: TraceReader, trace_id: str, tenant: Tenant) -> Trace:
    """The tenant's trace of this id. Raises NotFound, also for another tenant's."""
    trace = await reader.get(trace_id)
    if trace is None or trace.tenant != tenant.name:
        raise NotFound(f"no trace {trace_id[:100]!r}; it may be older than ledger.keep_days")
    return trace


def router(reader: TraceReader) -> APIRouter:
    """The trace routes around one ledger. A tenant sees its own traces only."""
    routes = APIRouter(tags=["traces"])

    @routes.get("/v1/traces/{trace_id}", response_class=Response, **described(answer=Trace))
    async def get_trace(trace_id: str, request: Request) -> Response:
        """The whole record of one request."""
        trace = await owned(reader, trace_id, _tenant(request))
        return Response(dump(trace), media_type="application/json")

    @routes.get("/v1/traces")
    async def list_traces(
        request: Request,
        since: Annotated[float | None, Query(description="Unix seconds")] = None,
        outcome: Outcome | None = None,
        strategy: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 20,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        """Requests in one line each, newest first; `next_cursor` leads to the page after."""
        found = await reader.page(TraceQuery(_tenant(request).name, since, outcome, strategy, cursor, limit))
        lines = [asdict(trace) for trace in found.traces]
        return {"object": "list", "data": lines, "has_more": bool(found.next_cursor), "next_cursor": found.next_cursor}

    return routes


def _tenant(request: Request) -> Tenant:
    tenant = exchanges.of(request.scope).tenant
    assert tenant is not None, "authentication comes before routing"
    return tenant
