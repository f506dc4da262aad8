"""The section `telemetry`: what leaves the appliance about its work, and for where."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from appliance.config.section import Section


def base_url(address: str) -> str:
    """Without a user, since addresses stand in logs, and without what would stand after the path."""
    try:
        parts = urlsplit(address)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is none, a broken IPv6 address
        whole = False
    if not whole or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("an address as http://collector:4318 is wanted, without a user and without a query")
    return address.rstrip("/")


class TelemetrySettings(Section):
    """What leaves the appliance about its work. By default nothing does."""

    otlp_endpoint: Annotated[str, AfterValidator(base_url)] | None = None
    """Base URL of an OpenTelemetry collector (`http://collector:4318`): each trace goes there as spans, over OTLP/HTTP,
    without prompts and answers. Headers and certificates come from the standard `OTEL_EXPORTER_OTLP_*` variables."""
