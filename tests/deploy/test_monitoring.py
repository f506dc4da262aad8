"""Alerts parse, ask for metrics that exist, and for those of this release only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest

from appliance.domain.fleet import Fleet
from appliance.telemetry.metrics import Metrics
from appliance.telemetry.pack_metrics import PackMetrics
from tests.deploy import chart

SCRAPED = {"up"}
"""Prometheus' own."""


def offered() -> set[str]:
    """Names of the samples that gateways and packs offer."""
    fleet = Fleet()
    metrics = Metrics(models=["a"], fleet=fleet)
    metrics.watch_lines(lambda: {}, lambda: {})
    names = set()
    for exposition in (metrics.exposition(), PackMetrics(models=["a"], fleet=fleet).exposition()):
        for name, kind in re.findall(r"(?m)^# TYPE (\S+) (\S+)$", exposition.decode()):
            names |= {name + end for end in ("_bucket", "_count", "_sum")} if kind == "histogram" else {name}
    return names


def rules() -> list[dict[str, Any]]:
    groups = chart.named("small+ha", "PrometheusRule", "")["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def selectors(expression: Any) -> Iterator[Any]:
    """Every selector of a parsed query."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for part in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (inner := getattr(expression, part, None)) is not None:
            yield from selectors(inner)
    for argument in getattr(expression, "args", None) or ():
        yield from selectors(argument)


def queries() -> list[tuple[str, str]]:
    found = [(rule["alert"], rule["expr"]) for rule in rules()]
    for variant in ("keda", "small+ha"):
        for scaled in chart.of_kind(variant, "ScaledObject"):
            found += [
                (scaled["metadata"]["name"], trigger["metadata"]["query"]) for trigger in scaled["spec"]["triggers"]
            ]
    return found


@pytest.mark.parametrize(("name", "query"), queries())
def test_queries_parse_and_ask_this_release_for_metrics_that_exist(name: str, query: str) -> None:
    found = list(selectors(promql_parser.parse(query)))
    assert found, query
    for selector in found:
        assert selector.name in offered() | SCRAPED
        labels = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        assert labels["namespace"] == chart.NAMESPACE
        assert labels.get("job", labels.get("pod", "")).startswith(chart.FULL)


def test_jobs_of_the_queries_are_the_services_that_are_scraped() -> None:
    jobs = {label for _, query in queries() for label in re.findall(r'job="([^"]+)"', query)}
    services = {service["metadata"]["name"] for service in chart.of_kind("small+ha", "Service")}
    assert jobs == {"demo-appliance-gateway", "demo-appliance-packs"} <= services


def test_alerts_say_what_and_where_to_read_on() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) >= 8
    for rule in found:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description", "runbook"} <= rule["annotations"].keys()
        text = " ".join([rule["expr"], *rule["annotations"].values()])
        assert not {"GATEWAYS", "PACKS", "RUNBOOK"} & set(re.findall(r"[A-Z]{5,}", text))
        assert text.count("{{") == text.count("}}")


def test_monitors_find_their_services_and_bring_the_key() -> None:
    services = chart.of_kind("small+ha", "Service")
    for monitor in chart.of_kind("small+ha", "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (service,) = (each for each in services if wanted <= each["metadata"]["labels"].items())
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        kept = {"http": "metrics-key", "door": "pack-key"}[endpoint["port"]]
        assert endpoint["authorization"]["credentials"] == {"name": "appliance-keys", "key": kept}


def test_packs_scale_on_waiting_calls_of_their_models_and_on_kv_use() -> None:
    (scaled,) = (each for each in chart.of_kind("keda", "ScaledObject") if each["metadata"]["name"].endswith("pack-0"))
    waiting, kv_use = (trigger["metadata"] for trigger in scaled["spec"]["triggers"])
    assert 'model=~"starter-planner|starter-math|starter-text|starter-verifier|starter-generalist"' in waiting["query"]
    assert waiting["threshold"] == "8"
    assert 'pod=~"demo-appliance-pack-0-[0-9]+"' in kv_use["query"]
    assert kv_use["threshold"] == "0.85"
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (1, 8)


def test_a_pack_may_be_left_out_of_scaling() -> None:
    names = {each["metadata"]["name"] for each in chart.of_kind("everything", "HorizontalPodAutoscaler")}
    assert names == {"demo-appliance-gateway", "demo-appliance-pack-0"}
    assert chart.named("everything", "StatefulSet", "-pack-1")["spec"]["replicas"] == 1
    assert "replicas" not in chart.named("everything", "StatefulSet", "-pack-0")["spec"]
