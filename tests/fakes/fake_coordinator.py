"""A coordinator that plays a script of events, errors and pauses, and notes how its requests ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

from appliance.domain.forecast import CallsForecast, Forecast, Reduction, Spread
from appliance.domain.model import Role
from appliance.domain.request import AnswerEvent, ChatRequest, Finished, Origin, Usage
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Trace
from appliance.ledger.trace_query import TracePage, TraceQuery, TraceSummary, paged
from appliance.ledger.usage_query import UsageLine, UsageQuery


@dataclass(frozen=True, slots=True)
class Hang:
    """The coordinator waits here until it is cancelled."""


@dataclass(frozen=True, slots=True)
class Until:
    """The coordinator waits here until `told` is set."""

    told: asyncio.Event


Step = AnswerEvent | Exception | Hang | Until


def finished(trace_id: str, *, reason: str = "stop", strategy: str = "direct") -> Finished:
    """The last event of an answer of 10 + 5 tokens in two calls."""
    usage = Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=3)
    return Finished(
        finish_reason=reason,
        usage=usage,
        trace_id=trace_id,
        strategy=strategy,
        calls=2,
        usage_by_role={"generalist": usage},
        usage_by_model={"starter-generalist": usage},
        gpu_s=0.25,
        gpu_s_by_role={"generalist": 0.25},
        gpu_s_by_model={"starter-generalist": 0.25},
    )


def forecast() -> Forecast:
    """Two tasks without verification, since the budget is small."""
    return Forecast(
        strategy="plan_execute_verify",
        reasons=("4 cues ≥ 2",),
        reduced=(Reduction("no verification", "about 5 calls are needed, the request has 4"),),
        by_call=(
            CallsForecast(Role.PLANNER, "starter-planner", 1.0, 31.26, 60.0, 0.4, 9),
            CallsForecast(Role.EXECUTOR, "starter-math", 2.0, 12.0, 20.0, 0.15, 0),
        ),
        calls=Spread(3.0, 4.0),
        tokens=Spread(155.0, 312.5),
        seconds=Spread(0.7, 1.9),
        gpu_s=Spread(0.65, 1.2),
        queue_s=0.0,
        kv_tokens=156,
        kv_bytes=3 * 2**20,
        basis="learned from 9 requests",
    )


@dataclass(slots=True)
class FakeCoordinator:
    """Yields `steps` for every request; Finished is added where the script has neither an error nor a hang."""

    steps: Sequence[Step] = ()
    requests: list[ChatRequest] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    tenants: list[Tenant] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    keeps: list[Trace] | None = None
    """Where it puts a trace of each request, made of the first one there."""
    hanging: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def forecast(self, request: ChatRequest, *, tenant: Tenant) -> Forecast:
        """Always the same one."""
        self.requests.append(request)
        self.tenants.append(tenant)
        return forecast()

    async def answer(
        self, request: ChatRequest, *, request_id: str, trace_id: str, tenant: Tenant, origin: Origin
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Play the script."""
        self.origins.append(origin)
        if self.keeps:
            self.keeps.append(replace(self.keeps[0], trace_id=trace_id, request=request, origin=origin))
        self.requests.append(request)
        self.request_ids.append(request_id)
        self.tenants.append(tenant)
        try:
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, Hang):
                    self.hanging.set()
                    await asyncio.Event().wait()
                elif isinstance(step, Until):
                    await step.told.wait()
                else:
                    yield step
            if not any(isinstance(step, Finished) for step in self.steps):
                yield finished(trace_id)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise


@dataclass(slots=True)
class FakeTraces:
    """Traces in memory."""

    traces: list[Trace] = field(default_factory=list)
    queries: list[TraceQuery] = field(default_factory=list)
    failure: Exception | None = None

    async def get(self, trace_id: str) -> Trace | None:
        """By id."""
        if self.failure is not None:
            raise self.failure
        return next((trace for trace in self.traces if trace.trace_id == trace_id), None)

    async def page(self, query: TraceQuery) -> TracePage:
        """Newest first; of the filters, only the tenant and the limit."""
        self.queries.append(query)
        own = [trace for trace in reversed(self.traces) if trace.tenant == query.tenant]
        lines = tuple(
            TraceSummary(
                trace_id=trace.trace_id,
                request_id=trace.request_id,
                tenant=trace.tenant,
                requested_model=trace.requested_model,
                strategy=trace.decision.strategy,
                outcome=trace.outcome,
                created_unix_s=trace.created_unix_s,
                duration_s=trace.duration_s,
                calls=len(trace.calls),
                total_tokens=trace.usage.total_tokens,
            )
            for trace in own
        )
        return paged(lines[: query.limit + 1], query.limit)


@dataclass(slots=True)
class FakeUsage:
    """The same lines for every report."""

    lines: tuple[UsageLine, ...] = ()
    queries: list[UsageQuery] = field(default_factory=list)

    async def report(self, query: UsageQuery) -> tuple[UsageLine, ...]:
        """Notes the query."""
        self.queries.append(query)
        return self.lines
