"""Pass-through requests, and terms on which calls are charged."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.request import Usage
from appliance.domain.trace import Outcome
from appliance.domain.usage import Charged, PassThroughCall


def passed_through(trace_id: str = "p1", tenant: str = "default", started_unix_s: float = 1000.0) -> PassThroughCall:
    """A stream of 90 ms: 20 tokens in, 8 of them cached, 5 out."""
    return PassThroughCall(
        request_id=f"req-{trace_id}",
        trace_id=trace_id,
        tenant=tenant,
        requested_model="text",
        model_id="text",
        engine_id="text-0",
        node="local",
        started_unix_s=started_unix_s,
        sent_s=0.01,
        first_byte_s=0.04,
        ended_s=0.1,
        usage=Usage(20, 5, 8),
        gpu_s=0.09,
        outcome=Outcome.OK,
        status=200,
        finish_reason="stop",
        traceparent="00-ab",
    )


@dataclass(frozen=True, slots=True)
class FixedTerms:
    """Every engine stands on one node at one price, and takes 100 W a device."""

    price: float | None = 3.6
    currency: str = "EUR"

    def charged(self, engine_id: str) -> Charged:
        """The same for all."""
        return Charged("node-a", self.price, self.currency)

    def energy_j(self, engine_id: str, begun_unix_s: float, ended_unix_s: float, gpu_s: float) -> float | None:
        """Of the device-seconds alone."""
        return 100.0 * gpu_s
