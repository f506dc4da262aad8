"""A finished trace as OpenTelemetry spans: one for the request, one for each task, one for each engine call.

Names are those of the GenAI semantic conventions where they have one, else they begin with `appliance.`. No span
holds a prompt, an answer, an instruction or a verdict's reason, whatever the trace keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span as AnySpan
from opentelemetry.trace import SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from appliance.domain.trace import BudgetRecord, CallRecord, Outcome, TaskRecord, Trace, VerdictRecord

EVALUATION_EVENT = "gen_ai.evaluation.result"
"""The conventions name this event; the package of constants has only its attributes."""

_PROVIDER = "vllm"
_HEX = frozenset("0123456789abcdef")


class SpanMaker:
    """Makes spans of traces, one trace after the other: it belongs to one thread.

    A caller's `traceparent` becomes the parent, and whether it wants spans at all is honoured; else the spans' trace
    id is the trace's own. The standard OTEL_* environment variables for sampling and resources hold.
    """

    def __init__(self, version: str) -> None:
        self._ids = _Ids()
        self._ended = _Ended()
        resource = Resource.create({SERVICE_NAME: "appliance", SERVICE_VERSION: version})
        provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer("appliance", version)

    def spans_of(self, trace: Trace) -> list[ReadableSpan]:
        """The spans of one request, ended; none where the caller's trace is not sampled."""
        self._ids.next_trace_id = _trace_id(trace.trace_id)
        _OneTrace(self._tracer, trace).make()
        return self._ended.taken()


class _OneTrace:
    """The spans of one trace, from the request downwards."""

    def __init__(self, tracer: Tracer, trace: Trace) -> None:
        self._tracer = tracer
        self._trace = trace
        self._tasks: dict[str, AnySpan] = {}

    def make(self) -> None:
        """Begin and end all of them."""
        trace = self._trace
        request = self._request()
        ended_s = {task.task_id: 0.0 for task in trace.tasks}
        for task in sorted(trace.tasks, key=lambda task: task.task_id.count(".")):  # a parent before its children
            parent = trace.parent_of(task.task_id)
            calls = [call for call in trace.calls if self._within(call.task_id, task.task_id)]
            begun_s = min((call.started_s for call in calls), default=trace.duration_s)
            ended_s[task.task_id] = max((call.ended_s for call in calls), default=trace.duration_s)
            self._tasks[task.task_id] = self._task(task, self._tasks[parent] if parent else request, begun_s)
        for call in trace.calls:
            self._call(call, self._owner(call.task_id) or request)
        for verdict in trace.verdicts:
            self._verdict(verdict, self._owner(verdict.task_id) or request)
        for task_id, span in self._tasks.items():
            span.end(self._ns(ended_s[task_id]))
        request.end(self._ns(trace.duration_s))

    def _request(self) -> AnySpan:
        trace = self._trace
        parent = Context()
        if trace.origin.traceparent is not None:
            parent = TraceContextTextMapPropagator().extract({"traceparent": trace.origin.traceparent}, parent)
        strategy = trace.decision.strategy
        attributes = {
            gen_ai.GEN_AI_OPERATION_NAME: gen_ai.GenAiOperationNameValues.INVOKE_WORKFLOW.value,
            gen_ai.GEN_AI_WORKFLOW_NAME: strategy,
            gen_ai.GEN_AI_REQUEST_MODEL: trace.requested_model,
            "appliance.trace_id": trace.trace_id,
            "appliance.request_id": trace.request_id,
            "appliance.tenant": trace.tenant,
            "appliance.outcome": trace.outcome.value,
            "appliance.decision.reasons": trace.decision.reasons,
            "appliance.reduced": tuple(f"{left.step}: {left.reason}" for left in trace.reduced) or None,
            "appliance.replay_of": trace.origin.replay_of,
            "appliance.calls": len(trace.calls),
            "appliance.tokens": trace.usage.total_tokens,
            "appliance.gpu_s": trace.gpu_s,
            **_budget(trace.budget),
        }
        span = self._start(f"invoke_workflow {strategy}", parent, SpanKind.SERVER, attributes, 0.0)
        for fallback in trace.fallbacks:
            facts = {"role": fallback.role.value, "reason": fallback.reason, "action": fallback.action}
            named = {f"appliance.{name}": fact for name, fact in facts.items()}
            span.add_event("appliance.fallback", named, self._ns(trace.duration_s))
        _settle(span, trace.outcome, trace.error)
        return span

    def _task(self, task: TaskRecord, parent: AnySpan, begun_s: float) -> AnySpan:
        attributes = {
            "appliance.task.id": task.task_id,
            "appliance.task.skill": task.skill,
            "appliance.task.needs": task.needs,
            "appliance.task.attempts": task.attempts,
            "appliance.task.accepted_attempt": task.accepted_attempt,
            "appliance.outcome": task.outcome.value,
        }
        context = set_span_in_context(parent, Context())
        span = self._start(f"task {task.task_id}", context, SpanKind.INTERNAL, attributes, begun_s)
        _settle(span, task.outcome, "")
        return span

    def _call(self, call: CallRecord, parent: AnySpan) -> None:
        attributes = {
            gen_ai.GEN_AI_OPERATION_NAME: gen_ai.GenAiOperationNameValues.CHAT.value,
            gen_ai.GEN_AI_PROVIDER_NAME: _PROVIDER,
            gen_ai.GEN_AI_REQUEST_MODEL: call.model_id,
            gen_ai.GEN_AI_RESPONSE_MODEL: call.model_id,
            gen_ai.GEN_AI_USAGE_INPUT_TOKENS: call.usage.prompt_tokens,
            gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: call.usage.completion_tokens,
            gen_ai.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: call.usage.cached_tokens,
            gen_ai.GEN_AI_RESPONSE_FINISH_REASONS: (call.finish_reason,) if call.finish_reason else None,
            gen_ai.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: call.first_token_s,
            "appliance.call_id": call.call_id,
            "appliance.task.id": call.task_id,
            "appliance.role": call.role.value,
            "appliance.attempt": call.attempt,
            "appliance.engine_id": call.engine_id or None,
            "appliance.queue_s": call.queue_s,
            "appliance.gpu_s": call.gpu_s,
            "appliance.outcome": call.outcome.value,
        }
        context = set_span_in_context(parent, Context())
        span = self._start(f"chat {call.model_id}", context, SpanKind.CLIENT, attributes, call.started_s)
        if call.engine_id:
            span.add_event("appliance.sent", {}, self._ns(call.started_s + call.queue_s))
        _settle(span, call.outcome, call.error)
        span.end(self._ns(call.ended_s))

    def _verdict(self, verdict: VerdictRecord, span: AnySpan) -> None:
        """An event at the end of what was judged or of the judging, whichever was later."""
        attempt = (verdict.task_id, verdict.attempt)
        ends = [call.ended_s for call in self._trace.calls if (call.task_id, call.attempt) == attempt]
        attributes: dict[str, str | int | float] = {
            gen_ai.GEN_AI_EVALUATION_NAME: verdict.rule,
            gen_ai.GEN_AI_EVALUATION_SCORE_VALUE: verdict.probability,
            gen_ai.GEN_AI_EVALUATION_SCORE_LABEL: verdict.verdict.value,
            "appliance.attempt": verdict.attempt,
            "appliance.threshold": verdict.threshold,
            "appliance.calibrated": verdict.calibrated,
            "appliance.self_judged": verdict.self_judged,
        }
        if verdict.verifier_model_id:
            attributes[gen_ai.GEN_AI_REQUEST_MODEL] = verdict.verifier_model_id
        span.add_event(EVALUATION_EVENT, attributes, self._ns(max(ends, default=self._trace.duration_s)))

    def _start(
        self, name: str, parent: Context, kind: SpanKind, attributes: Mapping[str, Any], begun_s: float
    ) -> AnySpan:
        known = {key: value for key, value in attributes.items() if value is not None}
        return self._tracer.start_span(name, parent, kind, known, start_time=self._ns(begun_s))

    def _owner(self, task_id: str) -> AnySpan | None:
        """The span of the task that a call or a verdict belongs to."""
        owner = task_id if task_id in self._tasks else self._trace.parent_of(task_id)
        return None if owner is None else self._tasks[owner]

    def _within(self, task_id: str | None, outer: str) -> bool:
        while task_id is not None and task_id != outer:
            task_id = self._trace.parent_of(task_id)
        return task_id is not None

    def _ns(self, moment_s: float) -> int:
        """Unix time in nanoseconds of a moment counted from the start of the request."""
        return round((self._trace.created_unix_s + moment_s) * 1e9)


def _settle(span: AnySpan, outcome: Outcome, error: str) -> None:
    """The span's status. Errors of traces quote no contents."""
    if outcome in (Outcome.OK, Outcome.SKIPPED):
        return
    span.set_attribute(ERROR_TYPE, outcome.value)
    span.set_status(StatusCode.ERROR, error or outcome.value)


def _budget(budget: BudgetRecord) -> dict[str, Any]:
    limits = {"calls": budget.limit_calls, "tokens": budget.limit_tokens, "wall_s": budget.limit_wall_s}
    used = {"calls": budget.used_calls, "tokens": budget.used_tokens, "wall_s": budget.used_wall_s}
    return {
        **{f"appliance.budget.limit.{name}": limit for name, limit in limits.items()},
        **{f"appliance.budget.used.{name}": amount for name, amount in used.items()},
        "appliance.budget.stopped_by": budget.stopped_by,
    }


def _trace_id(trace_id: str) -> int | None:
    """Ours are 32 hexadecimal digits, as OpenTelemetry's."""
    return int(trace_id, 16) or None if len(trace_id) == 32 and set(trace_id) <= _HEX else None


class _Ids(RandomIdGenerator):
    """Trace ids as told."""

    def __init__(self) -> None:
        self.next_trace_id: int | None = None

    def generate_trace_id(self) -> int:
        """Of a request that has no parent."""
        return self.next_trace_id or super().generate_trace_id()


class _Ended(SpanProcessor):
    """Keeps what ended until it is taken."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do."""

    def on_end(self, span: ReadableSpan) -> None:
        """One more."""
        self._spans.append(span)

    def taken(self) -> list[ReadableSpan]:
        """All since the last time."""
        spans, self._spans = self._spans, []
        return spans
