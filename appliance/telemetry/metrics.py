"""Prometheus metrics under one prefix, with labels that no caller can multiply."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from appliance.domain.engine import EngineState
from appliance.domain.fleet import Fleet
from appliance.domain.model import Role
from appliance.domain.request import Usage
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.trace import Outcome, Trace
from appliance.domain.usage import PassThroughCall
from appliance.telemetry.series import Buckets, Counts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OTHER = "other"
"""Label value of everything that is not known beforehand."""

LAST_LEVEL = 12
"""Of waiting calls: requests that have about 130 calls or more to go."""

NO_STRATEGY = "none"
"""Label value of requests that never reached the coordinator."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_FAN_OUT = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)


class Metrics:
    """Owns one registry and every metric of the appliance.

    `models` are the pool's ids: any other model becomes `other`, so the number of series stays bounded.
    """

    def __init__(self, *, models: Collection[str], fleet: Fleet) -> None:
        # One more series for each of ours, which nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
        self.registry = CollectorRegistry()
        self._models = frozenset(models)
        registry = self.registry
        ProcessCollector(registry=registry)
        registry.register(EngineStates(fleet, self._models))
        self._requests = Counts(
            "appliance_requests",
            "HTTP requests by route, status and strategy",
            ["route", "status", "strategy"],
            registry,
        )
        self._running = 0
        in_flight = Gauge("appliance_requests_in_flight", "HTTP requests being answered", registry=registry)
        in_flight.set_function(lambda: self._running)
        self._first_byte = Buckets(
            "appliance_time_to_first_token_seconds",
            "Time from a chat request to the first byte of its answer's text",
            ["strategy"],
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
        self._exports = Counter(
            "appliance_trace_exports", "Traces for an OpenTelemetry collector by result", ["result"], registry=registry
        )
        self._budget_stops = Counter(
            "appliance_budget_stops", "Requests stopped by their budget", ["limit"], registry=registry
        )

    def watch_lines(
        self, levels: Callable[[], Mapping[tuple[str, int], int]], oldest_s: Callable[[], Mapping[str, float]]
    ) -> None:
        """Show the lines of waiting calls: how many of each model and level, and the longest wait of each model."""
        self.registry.register(_Lines(levels, oldest_s, self._models))

    def request_started(self) -> None:
        """Count a request in."""
        self._running += 1

    def request_finished(self, *, route: str, status: int, strategy: str, duration_s: float) -> None:
        """Count a request out. `route` is a path template, never the caller's path."""
        self._running -= 1
        self._requests.add((route, str(status), strategy))
        self._duration.observe((route, strategy), duration_s)

    def first_token(self, *, strategy: str, after_s: float) -> None:
        """Note when the first text of an answer was sent."""
        self._first_byte.observe((strategy,), after_s)

    def journal_failed(self) -> None:
        """Count a write to the journal that failed."""
        self._journal_failures.inc()

    def record_trace(self, trace: Trace) -> None:
        """Count the calls, tokens, verdicts and fallbacks of one request."""
        for call in trace.calls:
            self._record_call(
                call.role, call.model_id, call.outcome, call.usage, call.gpu_s, call.queue_s, call.engine_s
            )
        self._fan_out.observe((trace.decision.strategy,), len(trace.calls))
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

    def passed_through(self, call: PassThroughCall) -> None:
        """Count out a request that one engine answered word for word, and count its call."""
        strategy = PASSTHROUGH if call.outcome is Outcome.OK else NO_STRATEGY
        self.request_finished(route=call.path, status=call.status, strategy=strategy, duration_s=call.ended_s)
        if call.first_byte_s is not None:
            self.first_token(strategy=strategy, after_s=call.first_byte_s)
        engine_s = call.ended_s - call.sent_s
        self._record_call(Role.GENERALIST, call.model_id, call.outcome, call.usage, call.gpu_s, call.sent_s, engine_s)
        self._fan_out.observe((PASSTHROUGH,), 1)

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


class EngineStates(Collector):
    """Engines by model and state, read from the fleet when Prometheus asks."""

    def __init__(self, fleet: Fleet, models: Collection[str]) -> None:
        self._fleet = fleet
        self._models = models

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """One sample for each model and state, zeros included, so that alerts can compare."""
        counts = {(model, state): 0 for model in sorted(self._models) for state in EngineState}
        for engine in self._fleet.snapshot.engines:
            key = (engine.model_id if engine.model_id in self._models else OTHER, engine.state)
            counts[key] = counts.get(key, 0) + 1
        family = GaugeMetricFamily("appliance_engines", "Engines by model and state", labels=["model", "state"])
        for (model, state), count in counts.items():
            family.add_metric([model, state.value], count)
        return [family]


class _Lines(Collector):
    """Waiting calls, read from the dispatcher when Prometheus asks."""

    def __init__(
        self,
        levels: Callable[[], Mapping[tuple[str, int], int]],
        oldest_s: Callable[[], Mapping[str, float]],
        models: Collection[str],
    ) -> None:
        self._levels = levels
        self._oldest_s = oldest_s
        self._models = models

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Every model and level, zeros included; what lies above the last level counts there."""
        counts = {(model, level): 0 for model in sorted(self._models) for level in range(LAST_LEVEL + 1)}
        for (model, level), count in self._levels().items():
            key = self._known(model), min(level, LAST_LEVEL)
            counts[key] = counts.get(key, 0) + count
        waiting = GaugeMetricFamily(
            "appliance_calls_waiting",
            "Calls that wait for an engine, by the level of their request (0: little left, goes first)",
            labels=["model", "level"],
        )
        for (model, level), count in counts.items():
            waiting.add_metric([model, str(level)], count)
        waits_s = dict.fromkeys(sorted(self._models), 0.0)
        for model, wait_s in self._oldest_s().items():
            waits_s[self._known(model)] = max(waits_s.get(self._known(model), 0.0), wait_s)
        oldest = GaugeMetricFamily(
            "appliance_calls_longest_wait_seconds", "Wait of the call that waits longest", labels=["model"]
        )
        for model, wait_s in waits_s.items():
            oldest.add_metric([model], wait_s)
        return [waiting, oldest]

    def _known(self, model: str) -> str:
        return model if model in self._models else OTHER
