"""Traces as spans: what a collector receives, and what happens when there is none."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from appliance.domain.model import Role
from appliance.domain.request import ChatMessage, ChatRequest, Origin
from appliance.domain.trace import Outcome, TaskRecord, Trace
from appliance.telemetry.tracing import Exporter
from tests.fakes.otlp_collector import Collector, attributes, collector
from tests.fakes.traces import call_record, repaired_trace

BEGUN_NS = 1_700_000_000 * 10**9
PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


@dataclass(slots=True)
class Counts:
    """What became of traces."""

    results: list[tuple[str, int]] = field(default_factory=list)
    heard: threading.Event = field(default_factory=threading.Event)

    def traces_exported(self, result: str, count: int) -> None:
        self.results.append((result, count))
        self.heard.set()


def exported(*traces: Trace) -> Collector:
    counts = Counts()
    with collector() as received:
        exporter = Exporter(f"{received.url}/", "1.2.3", counts)
        for trace in traces:
            exporter.offer(trace)
        exporter.close()
    assert sum(count for result, count in counts.results if result == "sent") == len(traces)
    return received


def by_name(received: Collector) -> dict[str, Span]:
    return {span.name: span for span in received.spans}


def ms(span: Span) -> tuple[int, int]:
    """Begin and end in milliseconds from the start of the request."""
    return round((span.start_time_unix_nano - BEGUN_NS) / 1e6), round((span.end_time_unix_nano - BEGUN_NS) / 1e6)


def test_the_request_its_tasks_and_its_calls_with_their_true_times() -> None:
    received = exported(repaired_trace())
    spans = received.spans
    assert set(received.paths) == {"/v1/traces"}
    assert (received.resource["service.name"], received.resource["service.version"]) == ("appliance", "1.2.3")
    assert sorted(span.name for span in spans) == [
        *("chat starter-generalist", "chat starter-math", "chat starter-planner"),
        *("chat starter-text", "chat starter-text", *["chat starter-verifier"] * 3),
        *("invoke_workflow plan_execute_verify", "task s1", "task s2"),
    ]
    assert {span.trace_id.hex() for span in spans} == {"0f" * 16}
    assert len({span.span_id for span in spans}) == len(spans)
    named = by_name(received)
    request, task = named["invoke_workflow plan_execute_verify"], named["task s2"]
    assert (request.kind, request.parent_span_id) == (Span.SPAN_KIND_SERVER, b"")
    assert (ms(request), ms(task), ms(named["chat starter-math"])) == ((0, 930), (400, 840), (200, 340))
    assert task.parent_span_id == request.span_id
    assert named["chat starter-math"].parent_span_id == named["task s1"].span_id
    assert named["chat starter-planner"].parent_span_id == request.span_id
    assert [span.parent_span_id for span in spans if span.name == "chat starter-text"] == [task.span_id] * 2


def test_a_call_bears_the_names_of_the_genai_conventions() -> None:
    call = replace(repaired_trace().calls[1], finish_reason="stop")
    span = by_name(exported(replace(repaired_trace(), calls=(call,))))["chat starter-math"]
    assert span.kind == Span.SPAN_KIND_CLIENT
    assert attributes(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "starter-math",
        "gen_ai.response.model": "starter-math",
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.03,
        "appliance.call_id": "c2",
        "appliance.task.id": "s1",
        "appliance.role": "executor",
        "appliance.attempt": 1,
        "appliance.engine_id": "starter-math-0",
        "appliance.queue_s": 0.02,
        "appliance.gpu_s": 0.06,
        "appliance.outcome": "ok",
    }
    sent = [(event.name, round((event.time_unix_nano - BEGUN_NS) / 1e6)) for event in span.events]
    assert sent == [("appliance.sent", 220)]


def test_verdicts_and_fallbacks_are_events() -> None:
    named = by_name(exported(repaired_trace()))
    verdicts = named["task s2"].events
    assert [event.name for event in verdicts] == ["gen_ai.evaluation.result"] * 2
    assert attributes(verdicts[0].attributes) == {
        "gen_ai.evaluation.name": "last_token",
        "gen_ai.evaluation.score.value": 0.11,
        "gen_ai.evaluation.score.label": "fail",
        "gen_ai.request.model": "starter-verifier",
        "appliance.attempt": 1,
        "appliance.threshold": 0.5,
        "appliance.calibrated": False,
        "appliance.self_judged": False,
    }
    (fallback,) = named["invoke_workflow plan_execute_verify"].events
    assert attributes(fallback.attributes) == {
        "appliance.role": "synthesizer",
        "appliance.reason": "no engine is ready",
        "appliance.action": "took the last result",
    }


def test_the_callers_own_trace_is_the_parent() -> None:
    received = exported(replace(repaired_trace(), origin=Origin(PARENT, replay_of="abc")))
    request = by_name(received)["invoke_workflow plan_execute_verify"]
    assert {span.trace_id.hex() for span in received.spans} == {"ab" * 16}
    assert request.parent_span_id.hex() == "cd" * 8
    found = attributes(request.attributes)
    assert (found["appliance.trace_id"], found["appliance.replay_of"]) == ("0f" * 16, "abc")
    assert found["appliance.budget.used.calls"] == 8


def test_a_caller_who_wants_no_spans_gets_none() -> None:
    assert exported(replace(repaired_trace(), origin=Origin(PARENT[:-2] + "00"))).bodies == []


def test_nested_plans_and_tasks_that_never_ran() -> None:
    inner = TaskRecord("s1.s1", "math", (), Outcome.OK, 1, 1)
    outer, never = replace(inner, task_id="s1"), TaskRecord("s2", "math", ("s1",), Outcome.SKIPPED, 0, None)
    calls = (
        call_record("c1", "s1.plan", Role.PLANNER, "planner", 0.1),
        call_record("c2", "s1.s1", Role.EXECUTOR, "math", 0.4),
    )
    named = by_name(exported(replace(repaired_trace(), tasks=(inner, never, outer), calls=calls, verdicts=())))
    assert named["task s1.s1"].parent_span_id == named["task s1"].span_id
    assert named["chat planner"].parent_span_id == named["task s1"].span_id
    assert (ms(named["task s1"]), ms(named["task s2"])) == ((100, 540), (930, 930))


def test_what_failed_says_so() -> None:
    failed = replace(repaired_trace().calls[0], outcome=Outcome.ERROR, error="the engine is gone", engine_id="")
    named = by_name(exported(replace(repaired_trace(), calls=(failed,), outcome=Outcome.CANCELLED)))
    call, request = named["chat starter-planner"], named["invoke_workflow plan_execute_verify"]
    assert (call.status.code, call.status.message) == (Status.STATUS_CODE_ERROR, "the engine is gone")
    assert attributes(call.attributes)["error.type"] == "error"
    assert attributes(request.attributes)["error.type"] == "cancelled"
    assert named["task s1"].status.code == Status.STATUS_CODE_UNSET


def test_no_span_holds_contents_whatever_the_trace_keeps() -> None:
    secret, trace = "xylophone", repaired_trace()
    received = exported(
        replace(
            trace,
            question=secret,
            answer=secret,
            request=ChatRequest("auto", (ChatMessage("user", secret),)),
            calls=tuple(replace(call, prompt=secret, answer=secret) for call in trace.calls),
            tasks=tuple(replace(task, instruction=secret, result=secret) for task in trace.tasks),
            verdicts=tuple(replace(verdict, reason=secret) for verdict in trace.verdicts),
        )
    )
    assert len(received.spans) == 11
    assert secret.encode() not in b"".join(received.bodies)


class Stuck(SpanExporter):
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        self.reached, self.let_go = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.reached.set()
        self.let_go.wait()
        self.batches.append(sum(span.name.startswith("invoke_workflow") for span in spans))
        return SpanExportResult.SUCCESS


def test_who_offers_never_waits_and_what_is_too_much_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.telemetry.tracing._WAITING", 3)
    stuck, counts = Stuck(), Counts()
    exporter = Exporter("http://127.0.0.1:9", "1", counts, sender=stuck)
    exporter.offer(repaired_trace())
    assert stuck.reached.wait(5)
    for _ in range(5):
        exporter.offer(repaired_trace())
    assert counts.results == [("dropped", 1)] * 2
    stuck.let_go.set()
    exporter.close()
    assert stuck.batches == [1, 3]
    assert counts.results[2:] == [("sent", 1), ("sent", 3)]


class Refusing(SpanExporter):
    """Refuses every batch, or breaks."""

    def __init__(self, *, breaks: bool) -> None:
        self._breaks = breaks

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._breaks:
            raise OSError("contents may stand here")
        return SpanExportResult.FAILURE


@pytest.mark.parametrize(("breaks", "reason"), [(False, "the collector did not take them"), (True, "OSError")])
def test_failures_are_counted_all_and_logged_once_in_a_while(breaks: bool, reason: str) -> None:
    counts, now_s = Counts(), 0.0
    with capture_logs() as logs:
        sender = Refusing(breaks=breaks)
        exporter = Exporter("http://127.0.0.1:9", "1", counts, sender=sender, clock=lambda: now_s)
        for moment_s in (0.0, 100.0, 200.0, 301.0):
            now_s = moment_s
            counts.heard.clear()
            exporter.offer(repaired_trace())
            assert counts.heard.wait(5)
        exporter.close()
    assert counts.results == [("failed", 1)] * 4
    assert [(entry["traces"], entry["reason"]) for entry in logs] == [(1, reason), (3, reason)]


def test_a_collector_that_refuses_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    with collector(status=400) as received, capture_logs() as logs, caplog.at_level(logging.INFO):
        exporter = Exporter(received.url, "1", counts)
        exporter.offer(repaired_trace())
        exporter.close()
    assert counts.results == [("failed", 1)]
    assert [entry["event"] for entry in logs] == ["traces could not be exported"]
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]
