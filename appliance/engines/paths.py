"""The only place that makes an engine's URLs: from the paths that are allowed, and from nothing that a caller wrote.

vLLM's key guards `/v1` alone: `/invocations`, `/pause` and `/update_weights` are open to whoever reaches the port. So
engines listen on loopback or behind a network policy, and no request may choose where it goes. Pure.
"""

from __future__ import annotations

from typing import Final

from appliance.domain.endpoint import Endpoint
from appliance.domain.engine import EngineStatus

CONTROL: Final = frozenset(
    {"/health", "/metrics", "/pause", "/sleep", "/wake_up", "/is_sleeping", "/collective_rpc"}
)  # fmt: skip
"""What the supervisor and the sampler ask."""

ALLOWED: Final = CONTROL | {endpoint.value for endpoint in Endpoint}


def url_of(engine: EngineStatus, path: str) -> str:
    """The URL of an allowed path, with the query that may follow it. ValueError for any other path."""
    if path.partition("?")[0] not in ALLOWED:
        raise ValueError(f"engines have no path {path!r} for us")
    return f"{engine.base_url}{path}"
