"""`GET /v1/traces`: what was done for a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from appliance.domain.tenant import Tenant
from appliance.domain.trace import Trace
from appliance.errors import NotFound
from appliance.gateway import exchange as exchanges
from appliance.ledger.trace_store import TraceSummary

_trace = TypeAdapter(Trace)


class TraceReader(Protocol):
    """What the door needs of the ledger."""

    async def get(self, trace_id: str) -> Trace | None:
        """One trace."""

    async def recent(self, limit: int) -> Sequence[TraceSummary]:
        """The newest traces in one line each, newest first."""


def dump(trace: Trace) -> bytes:
    """A trace as JSON."""
    return _trace.dump_json(trace)


def load(document: bytes) -> Trace:
    """JSON → trace."""
    return _trace.validate_json(document)


def router(reader: TraceReader) -> APIRouter:
    """The trace routes around one ledger. A tenant sees its own traces only."""
    routes = APIRouter(tags=["traces"])

    @routes.get("/v1/traces/{trace_id}", response_class=Response)
    async def get_trace(trace_id: str, request: Request) -> Response:
        """The whole record of one request."""
        trace = await reader.get(trace_id)
        if trace is None or trace.tenant != _tenant(request).name:
            raise NotFound(f"no trace {trace_id[:100]!r}; it may be older than ledger.keep_days")
        return Response(dump(trace), media_type="application/json")

    @routes.get("/v1/traces")
    async def recent_traces(request: Request, limit: Annotated[int, Query(ge=1, le=1_000)] = 20) -> dict[str, Any]:
        """The newest requests, one line each."""
        tenant = _tenant(request).name
        found = [trace for trace in await reader.recent(limit) if trace.tenant == tenant]
        return {"object": "list", "data": [asdict(trace) for trace in found]}

    return routes


def _tenant(request: Request) -> Tenant:
    tenant = exchanges.of(request.scope).tenant
    assert tenant is not None, "authentication comes before routing"
    return tenant
