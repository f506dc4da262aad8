"""Metrics: what a trace adds up to, and labels that stay bounded."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.telemetry.metrics import Metrics
from tests.fakes.traces import repaired_trace

MODELS = ("starter-planner", "starter-math", "starter-text", "starter-verifier", "starter-generalist")


def metrics() -> Metrics:
    return Metrics(models=MODELS, fleet=Fleet())


def value(of: Metrics, name: str, **labels: str) -> float:
    return of.registry.get_sample_value(name, labels) or 0.0


def test_trace_adds_calls_tokens_verdicts_and_fallbacks() -> None:
    counted = metrics()
    counted.record_trace(repaired_trace())
    text = {"role": "executor", "model": "starter-text"}
    assert value(counted, "appliance_engine_calls_total", **text, outcome="ok") == 2
    assert value(counted, "appliance_tokens_total", **text, kind="prompt") == 80
    assert value(counted, "appliance_tokens_total", **text, kind="completion") == 20
    assert value(counted, "appliance_gpu_seconds_total", **text) == 0.12
    assert value(counted, "appliance_verdicts_total", verdict="pass") == 2
    assert value(counted, "appliance_verdicts_total", verdict="fail") == 1
    assert value(counted, "appliance_fallbacks_total", role="synthesizer") == 1
    assert value(counted, "appliance_calls_per_request_sum", strategy="plan_execute_verify") == 8


def test_budget_stop_is_counted() -> None:
    counted, trace = metrics(), repaired_trace()
    counted.record_trace(replace(trace, budget=replace(trace.budget, stopped_by="calls")))
    assert value(counted, "appliance_budget_stops_total", limit="calls") == 1


def test_unknown_models_share_one_label() -> None:
    counted, trace = metrics(), repaired_trace()
    calls = tuple(replace(call, model_id=f"made-up-{i}") for i, call in enumerate(trace.calls))
    counted.record_trace(replace(trace, calls=calls))
    assert b"made-up" not in counted.exposition()
    assert value(counted, "appliance_engine_calls_total", role="planner", model="other", outcome="ok") == 1


def test_engines_are_read_from_the_fleet_when_asked() -> None:
    fleet = Fleet()
    counted = Metrics(models=MODELS, fleet=fleet)
    assert value(counted, "appliance_engines", model="starter-math", state="ready") == 0
    fleet.publish((EngineStatus("e", "starter-math", EngineState.READY, "http://x", "k", 1, 1),))
    assert value(counted, "appliance_engines", model="starter-math", state="ready") == 1


def test_exposition_is_prometheus_text() -> None:
    counted = metrics()
    counted.record_trace(repaired_trace())
    families = {family.name for family in text_string_to_metric_families(counted.exposition().decode())}
    assert {"appliance_requests", "appliance_tokens", "appliance_engines", "process_open_fds"} <= families


def test_lines_are_read_when_asked_and_know_no_model_of_a_caller() -> None:
    counted = metrics()
    model, other = sorted(MODELS)[:2]
    levels = {(model, 0): 2, (model, 13): 1, (model, 40): 1, ("strange", 3): 1, ("stranger", 3): 1}
    counted.watch_lines(lambda: levels, lambda: {model: 7.5, "strange": 2.0, "stranger": 3.0})
    text = counted.exposition().decode()
    for line in (
        f'appliance_calls_waiting{{level="0",model="{model}"}} 2.0',
        f'appliance_calls_waiting{{level="12",model="{model}"}} 2.0',
        f'appliance_calls_waiting{{level="5",model="{other}"}} 0.0',
        'appliance_calls_waiting{level="3",model="other"} 2.0',
        f'appliance_calls_longest_wait_seconds{{model="{model}"}} 7.5',
        f'appliance_calls_longest_wait_seconds{{model="{other}"}} 0.0',
        'appliance_calls_longest_wait_seconds{model="other"} 3.0',
    ):
        assert line in text
