"""What the door knows of one request: made by the outermost middleware, read and filled in by the inner ones."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

from appliance.domain.tenant import Tenant
from appliance.telemetry.metrics import NO_STRATEGY

_KEY = "appliance.exchange"


@dataclass(slots=True)
class Exchange:
    """One request and its response. One task owns it: the one that answers the request."""

    request_id: str
    trace_id: str
    started_s: float
    traceparent: str | None = None
    """The caller's own trace (W3C), where it sent one."""
    tenant: Tenant | None = None
    model: str = ""
    """The model that is asked for; empty until a route knows."""
    labels: frozenset[str] = frozenset()
    """What the request itself says of its data."""
    strategy: str = NO_STRATEGY
    status: int | None = None
    first_token_s: float | None = None
    token_gaps_s: list[float] = field(default_factory=list)
    """Times between the pieces of a streamed answer's text."""
    error: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Headers that every response of this exchange carries."""


def make_id(prefix: str) -> str:
    """An id that can't be guessed."""
    return f"{prefix}-{secrets.token_hex(12)}"


def make_ids(prefix: str) -> tuple[str, str]:
    """Both at once, from one look at the system's randomness: an id and the id of a new trace."""
    drawn = os.urandom(28).hex()  # what `secrets` does, without the five calls around it
    return f"{prefix}-{drawn[:24]}", drawn[24:]


def make_trace_id() -> str:
    """The id of a new trace, in W3C's form."""
    return secrets.token_hex(16)


def attach(scope: Scope, exchange: Exchange) -> None:
    """Make the exchange known to the inner middleware and the routes."""
    scope[_KEY] = exchange


def of(scope: Scope) -> Exchange:
    """The exchange of this request."""
    exchange: Any = scope[_KEY]
    assert isinstance(exchange, Exchange)
    return exchange
