"""What a call consumed, and the finished pass-through request that the fast path hands to the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from appliance.domain.request import Usage
from appliance.domain.tenant import DEFAULT
from appliance.domain.trace import Outcome


@dataclass(slots=True)
class PassThroughCall:
    """One request that one engine answered word for word, as it ended.

    `started_unix_s` is wall time; all other times are seconds from there: `sent_s` when it went to the engine,
    `first_byte_s` when the answer began (None: it never did), `ended_s` when it was over. `status` is the HTTP status
    that the caller got, `path` the endpoint (`/v1/chat/completions`). `gpu_s` are the device-seconds of its receipt.
    `tenant_class` names the tenant's policy.
    `usage_estimated`: the engine did not get to tell its usage. `error` may not quote contents. Nobody
    changes it; it is not frozen because a frozen one of so many fields takes five times as long to make.
    """

    request_id: str
    trace_id: str
    tenant: str
    requested_model: str
    model_id: str
    engine_id: str
    node: str
    started_unix_s: float
    sent_s: float
    first_byte_s: float | None
    ended_s: float
    usage: Usage
    gpu_s: float
    outcome: Outcome
    status: int
    path: str = "/v1/chat/completions"
    attempts: int = 1
    finish_reason: str | None = None
    usage_estimated: bool = False
    error: str = ""
    traceparent: str | None = None
    tenant_class: str = DEFAULT


def nobody() -> None:
    """Nobody wants to hear of it."""


class PassThroughSink(Protocol):
    """Where finished pass-through requests go."""

    def record_pass_through(self, call: PassThroughCall, on_written: Callable[[], None] = nobody) -> None:
        """Take note of it, to be written soon together with others. It never waits and never fails.

        `on_written` hears, in any thread, that it is in the ledger.
        """


@dataclass(frozen=True, slots=True)
class Charged:
    """On what terms a call is charged: the engine's node, and the operator's price at that time (None: none is set)."""

    node: str
    price_per_gpu_hour: float | None
    currency: str


class Terms(Protocol):
    """What the ledger asks when it writes a call down; it is asked in the writing thread."""

    def charged(self, engine_id: str) -> Charged:
        """Node and price of an engine, also of one that is gone."""

    def energy_j(self, engine_id: str, begun_unix_s: float, ended_unix_s: float, gpu_s: float) -> float | None:
        """The call's share of what the engine's devices took meanwhile; None where nobody measures it."""


class _NoTerms:
    def charged(self, engine_id: str) -> Charged:
        return Charged("", None, "")

    def energy_j(self, engine_id: str, begun_unix_s: float, ended_unix_s: float, gpu_s: float) -> float | None:
        return None


NO_TERMS: Terms = _NoTerms()
"""Nothing costs anything: for tests and benchmarks of other things."""
