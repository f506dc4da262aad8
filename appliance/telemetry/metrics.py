"""Prometheus metrics under one prefix, with labels that no caller can multiply."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from appliance.domain.fleet import Fleet
from appliance.domain.model import Role
from appliance.domain.request import Usage
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.tenant import DEFAULT
from appliance.domain.trace import Outcome, Trace, Verdict
from appliance.domain.usage import PassThroughCall
from appliance.telemetry.engine_figures import OTHER, EngineFiguresCollector, EngineStates
from appliance.telemetry.line_metrics import Lines
from appliance.telemetry.series import Buckets, Cell, Counts, Tally, observe_all

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

NO_STRATEGY = "none"
"""Label value of requests that never reached the coordinator."""

NO_CLASS = "none"
"""Label value of requests whose tenant is not known."""

_ANSWERED = 200

_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_FAN_OUT = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
_TOKENS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000)

_LIMITS = ("calls", "tokens", "gpu_s", "wall_s")
_EXPORT_RESULTS = ("sent", "failed", "dropped")


class Metrics:
    """Owns one registry and every metric of the appliance.

    `models` are the pool's ids and `classes` the names of the tenants' policies: any other becomes `other`, so the
    number of series stays bounded.
    """

    def __init__(self, *, models: Collection[str], fleet: Fleet, classes: Collection[str] = (DEFAULT,)) -> None:
        # One more series for each of ours, which nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
        self.registry = CollectorRegistry()
        self._models = frozenset(models)
        self._classes = frozenset((*classes, NO_CLASS))
        registry = self.registry
        ProcessCollector(registry=registry)
        registry.register(EngineStates(fleet, self._models))
        registry.register(EngineFiguresCollector(fleet))
        self._requests = Counts(
            "appliance_requests",
            "HTTP requests by route, status, strategy and class of tenants",
            ["route", "status", "strategy", "tenant_class"],
            registry,
        )
        self._running = 0
        self._passed: dict[tuple[str, str, str], _Passed] = {}
        in_flight = Gauge("appliance_requests_in_flight", "HTTP requests being answered", registry=registry)
        in_flight.set_function(lambda: self._running)
        self._first_byte = Buckets(
            "appliance_time_to_first_token_seconds",
            "Time from a request to the first byte of its answer's text",
            ["strategy", "tenant_class"],
            _SECONDS,
            registry,
        )
        self._token_gaps = Buckets(
            "appliance_inter_token_latency_seconds",
            "Time between two pieces of a streamed answer's text",
            ["strategy", "tenant_class"],
            _TOKEN_SECONDS,
            registry,
        )
        self._end_to_end = Buckets(
            "appliance_e2e_request_latency_seconds",
            "Time from a request that was answered to the last byte of its answer",
            ["strategy", "tenant_class"],
            _SECONDS,
            registry,
        )
        self._duration = Buckets(
            "appliance_request_duration_seconds",
            "Time from a request to the last byte of its answer",
            ["route", "strategy"],
            _SECONDS,
            registry,
        )
        self._declare_coordination()

    def _declare_coordination(self) -> None:
        registry = self.registry
        self._calls = Counts(
            "appliance_engine_calls", "Engine calls by role, model and outcome", ["role", "model", "outcome"], registry
        )
        self._tokens = Counts("appliance_tokens", "Tokens by role, model and kind", ["role", "model", "kind"], registry)
        self._gpu_s = Counts(
            "appliance_gpu_seconds", "Device-seconds charged to calls, by role and model", ["role", "model"], registry
        )
        self._queue = Buckets(
            "appliance_call_queue_seconds", "Time until a call was sent to an engine", ["role"], _SECONDS, registry
        )
        self._engine_time = Buckets(
            "appliance_call_engine_seconds", "Time that an engine worked on a call", ["role", "model"],
            _SECONDS, registry,
        )  # fmt: skip
        self._fan_out = Buckets(
            "appliance_calls_per_request", "Engine calls of one request", ["strategy"], _FAN_OUT, registry
        )
        self._role_calls = Buckets(
            "appliance_calls_per_request_by_role", "Engine calls of one request in a role", ["strategy", "role"],
            _FAN_OUT, registry,
        )  # fmt: skip
        self._role_tokens = Buckets(
            "appliance_tokens_per_request_by_role", "Tokens of one request in a role", ["strategy", "role"],
            _TOKENS, registry,
        )  # fmt: skip
        self._verdicts = Counter("appliance_verdicts", "Verdicts on results", ["verdict"], registry=registry)
        self._head_choices = Counter(
            "appliance_router_head_choices",
            "Choices of the learned head beside the strategy that answered.",
            ("head_strategy", "strategy", "decided_by"),
            registry=self.registry,
        )
        self._fallbacks = Counter(
            "appliance_fallbacks", "Requests that went on another way than planned", ["role"], registry=registry
        )
        self._journal_failures = Counter(
            "appliance_journal_failures", "Writes to the journal that failed", registry=registry
        )
        self._audit_failures = Counter(
            "appliance_audit_failures", "Writes to the audit chain that failed", registry=registry
        )
        self._ledger_failures = Counter(
            "appliance_ledger_failures", "Writes of usage rows that failed", registry=registry
        )
        self._exports = Counter(
            "appliance_trace_exports", "Traces for an OpenTelemetry collector by result", ["result"], registry=registry
        )
        self._budget_stops = Counter(
            "appliance_budget_stops", "Requests stopped by their budget", ["limit"], registry=registry
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """What may never happen is there from the start, so that a rate sees the first time."""
        for counter, values in (
            (self._verdicts, [verdict.value for verdict in Verdict]),
            (self._fallbacks, [role.value for role in Role]),
            (self._budget_stops, _LIMITS),
            (self._exports, _EXPORT_RESULTS),
        ):
            for value in values:
                counter.labels(value)

    def watch_lines(
        self, levels: Callable[[], Mapping[tuple[str, int], int]], oldest_s: Callable[[], Mapping[str, float]]
    ) -> None:
        """Show the lines of waiting calls: how many of each model and level, and the longest wait of each model."""
        self.registry.register(Lines(levels, oldest_s, self._models))

    def request_started(self) -> None:
        """Count a request in."""
        self._running += 1

    def request_finished(
        self, *, route: str, status: int, strategy: str, duration_s: float, tenant_class: str = NO_CLASS
    ) -> None:
        """Count a request out. `route` is a path template, never the caller's path."""
        named = self._class(tenant_class)
        self._running -= 1
        self._requests.add((route, str(status), strategy, named))
        self._duration.observe((route, strategy), duration_s)
        if strategy != NO_STRATEGY and status == _ANSWERED:
            self._end_to_end.observe((strategy, named), duration_s)

    def first_token(self, *, strategy: str, after_s: float, tenant_class: str = NO_CLASS) -> None:
        """Note when the first text of an answer was sent."""
        self._first_byte.observe((strategy, self._class(tenant_class)), after_s)

    def token_gaps(self, *, strategy: str, gaps_s: Iterable[float], tenant_class: str = NO_CLASS) -> None:
        """Note the times between the pieces of a streamed answer."""
        cell = self._token_gaps.cell((strategy, self._class(tenant_class)))
        for gap_s in gaps_s:
            cell.observe(gap_s)

    def audit_failed(self) -> None:
        """Count a write to the audit chain that failed."""
        self._audit_failures.inc()

    def ledger_failed(self) -> None:
        """Count a write of usage rows that failed."""
        self._ledger_failures.inc()

    def journal_failed(self) -> None:
        """Count a write to the journal that failed."""
        self._journal_failures.inc()

    def record_trace(self, trace: Trace) -> None:
        """Count the calls, tokens, verdicts and fallbacks of one request."""
        for call in trace.calls:
            self._record_call(
                call.role, call.model_id, call.outcome, call.usage, call.gpu_s, call.queue_s, call.engine_s
            )
        self._record_fan_out(trace)
        for verdict in trace.verdicts:
            self._verdicts.labels(verdict.verdict.value).inc()
        for fallback in trace.fallbacks:
            self._fallbacks.labels(fallback.role.value).inc()
        decision = trace.decision
        if decision.head_strategy:
            decided = "head" if decision.head_decided else "shadow"
            self._head_choices.labels(decision.head_strategy, decision.strategy, decided).inc()
        if trace.budget.stopped_by is not None:
            self._budget_stops.labels(trace.budget.stopped_by).inc()

    def _record_fan_out(self, trace: Trace) -> None:
        strategy = trace.decision.strategy
        self._fan_out.observe((strategy,), len(trace.calls))
        for role in {call.role for call in trace.calls}:
            played = [call for call in trace.calls if call.role is role]
            self._role_calls.observe((strategy, role.value), len(played))
            self._role_tokens.observe((strategy, role.value), sum(call.usage.total_tokens for call in played))

    def passed_through(self, call: PassThroughCall) -> None:
        """Count out a request that one engine answered word for word, and count its call."""
        well = call.outcome is Outcome.OK
        if not well:
            self.request_finished(
                route=call.path,
                status=call.status,
                strategy=NO_STRATEGY,
                duration_s=call.ended_s,
                tenant_class=call.tenant_class,
            )
            if call.first_byte_s is not None:
                self.first_token(strategy=NO_STRATEGY, after_s=call.first_byte_s, tenant_class=call.tenant_class)
            self._fan_out.observe((PASSTHROUGH,), 1)
            self._role_calls.observe((PASSTHROUGH, Role.GENERALIST.value), 1)
            self._role_tokens.observe((PASSTHROUGH, Role.GENERALIST.value), call.usage.total_tokens)
            self._record_call(
                Role.GENERALIST,
                call.model_id,
                call.outcome,
                call.usage,
                call.gpu_s,
                call.sent_s,
                call.ended_s - call.sent_s,
            )
            return
        key = call.path, call.model_id, call.tenant_class
        cells = self._passed.get(key)
        if cells is None:
            cells = self._passed[key] = self._cells(*key)
        self._running -= 1
        cells.count(call)

    def _cells(self, path: str, model_id: str, tenant_class: str) -> _Passed:
        known, named = (Role.GENERALIST.value, self._model(model_id)), self._class(tenant_class)
        alone = (PASSTHROUGH, Role.GENERALIST.value)
        return _Passed(
            requests=self._requests.cell((path, "200", PASSTHROUGH, named)),
            calls=self._calls.cell((*known, Outcome.OK.value)),
            tokens=tuple(self._tokens.cell((*known, kind)) for kind in ("prompt", "completion", "cached")),
            gpu_s=self._gpu_s.cell(known),
            duration=self._duration.cell((path, PASSTHROUGH)),
            first_byte=self._first_byte.cell((PASSTHROUGH, named)),
            end_to_end=self._end_to_end.cell((PASSTHROUGH, named)),
            queue=self._queue.cell(known[:1]),
            engine_time=self._engine_time.cell(known),
            fan_out=self._fan_out.cell((PASSTHROUGH,)),
            role_calls=self._role_calls.cell(alone),
            role_tokens=self._role_tokens.cell(alone),
        )

    def _record_call(
        self, role: Role, model_id: str, outcome: Outcome, usage: Usage, gpu_s: float, queue_s: float, engine_s: float
    ) -> None:
        known = (role.value, self._model(model_id))
        self._calls.add((*known, outcome.value))
        self._tokens.add((*known, "prompt"), usage.prompt_tokens)
        self._tokens.add((*known, "completion"), usage.completion_tokens)
        self._tokens.add((*known, "cached"), usage.cached_tokens)
        self._gpu_s.add(known, gpu_s)
        self._queue.observe(known[:1], queue_s)
        self._engine_time.observe(known, engine_s)

    def traces_exported(self, result: str, count: int) -> None:
        """Count traces that were sent to an OpenTelemetry collector, failed to be, or were dropped for want of room."""
        self._exports.labels(result).inc(count)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _model(self, model_id: str) -> str:
        return model_id if model_id in self._models else OTHER

    def _class(self, tenant_class: str) -> str:
        return tenant_class if tenant_class in self._classes else OTHER


@dataclass(slots=True)
class _Passed:
    """The series that a request counts into which one engine answered well, found once."""

    requests: Tally
    calls: Tally
    tokens: tuple[Tally, ...]
    gpu_s: Tally
    duration: Cell
    first_byte: Cell
    end_to_end: Cell
    role_calls: Cell
    role_tokens: Cell
    queue: Cell
    engine_time: Cell
    fan_out: Cell

    def count(self, call: PassThroughCall) -> None:
        """One request."""
        usage, sent_s, ended_s = call.usage, call.sent_s, call.ended_s
        self.requests.value += 1
        self.calls.value += 1
        prompt, completion, cached = self.tokens
        prompt.value += usage.prompt_tokens
        completion.value += usage.completion_tokens
        cached.value += usage.cached_tokens
        self.gpu_s.value += call.gpu_s
        if call.first_byte_s is not None:
            self.first_byte.observe(call.first_byte_s)
        observe_all(
            (self.duration, ended_s),
            (self.end_to_end, ended_s),
            (self.queue, sent_s),
            (self.engine_time, ended_s - sent_s),
            (self.role_tokens, usage.prompt_tokens + usage.completion_tokens),
            (self.role_calls, 1),
            (self.fan_out, 1),
        )
