"""Dashboard and alert rules: every query parses, and asks for what `/metrics` of a busy appliance really has."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from appliance.domain.fleet import EngineFigures
from tests.coordinator.house import QUESTION
from tests.gateway.door import drive
from tests.gateway.inside import inside

DIRECTORY = Path(__file__).parents[2] / "config" / "dashboards"
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds."""


def dashboard() -> Any:
    return json.loads((DIRECTORY / "appliance.json").read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DIRECTORY / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def shown() -> list[tuple[str, str]]:
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def queries() -> list[tuple[str, str]]:
    return [*shown(), *((rule["alert"], rule["expr"]) for rule in rules())]


def parsed(query: str) -> Any:
    """With Grafana's variables filled in."""
    return promql_parser.parse(query.replace("$__rate_interval", "5m").replace("$job", ".*"))


def parts(expression: Any) -> Iterator[Any]:
    """Every node of a parsed query."""
    yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        inner = getattr(expression, name, None)
        if inner is not None and not isinstance(inner, str | float | int):
            yield from parts(inner)
    for argument in getattr(expression, "args", None) or ():
        yield from parts(argument)


@cache
def offered() -> dict[str, set[str]]:
    """Name of each sample of a busy appliance → its labels."""
    text = asyncio.run(busy())
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def busy() -> str:
    """`/metrics` after answers of every kind: streamed, whole, by a team, refused, stopped by a budget."""
    house = inside()
    house.fleet.figures = {
        engine.engine_id: EngineFigures(("0",), 9, 7, 100, 1, 0, 2.5, kv_used_share=0.5)
        for engine in house.fleet.snapshot.engines
    }
    for body in (
        {"model": "auto", "messages": [{"role": "user", "content": QUESTION}], "stream": True},
        {"model": "auto", "messages": [{"role": "user", "content": QUESTION}], "budget": {"tokens": 30}},
        {"model": "generalist", "messages": [{"role": "user", "content": "hello"}], "stream": True},
        {"model": "nobody", "messages": [{"role": "user", "content": "hello"}]},
    ):
        await drive(house.app, "POST", "/v1/chat/completions", json.dumps(body).encode())
    await house.coordinator.close()
    metrics = house.metrics
    for trace in house.traces.saved:  # as the sink that bootstrap wires does it
        metrics.record_trace(trace)
    return (await drive(house.app, "GET", "/metrics")).body.decode()


@pytest.mark.parametrize(("title", "query"), queries())
def test_queries_parse_and_ask_for_what_there_is(title: str, query: str) -> None:
    selectors = [part for part in parts(parsed(query)) if isinstance(part, promql_parser.VectorSelector)]
    assert selectors, title
    for selector in selectors:
        assert selector.name is not None
        assert selector.name in offered(), f"{title}: no sample of {selector.name}"
        known = offered()[selector.name] | SCRAPED
        assert {matcher.name for matcher in selector.matchers.matchers} <= known
    names = {str(selector.name) for selector in selectors}
    grouped = set(re.findall(r"by \(([^)]*)\)", query))
    for label in {label.strip() for group in grouped for label in group.split(",")}:
        assert any(label in offered()[name] for name in names), f"{title}: nothing has the label {label}"


def test_every_measure_of_the_house_is_on_the_dashboard() -> None:
    names = {name for _, query in shown() for name in re.findall(r"appliance_\w+|process_\w+", query)}
    ours = {name for name in offered() if name.startswith("appliance_")}
    missing = {re.sub(r"_(bucket|count|sum)$", "", name) for name in ours} - {
        re.sub(r"_(bucket|count|sum)$", "", name) for name in names
    }
    assert missing <= {"appliance_request_duration_seconds", "appliance_engine_kv_tokens"}


def test_panels_and_alerts_are_well_formed() -> None:
    document = dashboard()
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels if p["type"] != "row"]
    assert len(set(taken)) == len(taken)
    assert all(panel["title"] for panel in panels)
    assert {variable["name"] for variable in document["templating"]["list"]} == {"datasource", "job"}
    assert not re.search(r"https?://", json.dumps(document)), "nothing is loaded from elsewhere"
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_legends_and_texts_name_labels_that_their_queries_keep() -> None:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert label in target["expr"] or label in SCRAPED
    for rule in rules():
        for label in re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())):
            assert label in rule["expr"]


def test_no_label_holds_what_a_caller_wrote() -> None:
    async def main() -> str:
        house = inside()
        written = "written-by-a-caller"
        for path, body in (
            ("/v1/chat/completions", {"model": written, "messages": [{"role": "user", "content": written}]}),
            ("/v1/chat/completions", {"model": "generalist", "messages": [{"role": "user", "content": written}],
                                      "user": written, "strategy": written, "labels": [written]}),
            (f"/v1/traces/{written}/replay", {}), (f"/{written}", {}), (f"/v1/models/{written}", {}),
        ):  # fmt: skip
            await drive(house.app, "POST", path, json.dumps(body).encode(), query=f"x={written}")
        await house.coordinator.close()
        for trace in house.traces.saved:
            house.metrics.record_trace(trace)
        return (await drive(house.app, "GET", "/metrics")).body.decode()

    text = asyncio.run(main())
    assert "written-by-a-caller" not in text


def test_the_number_of_series_does_not_grow_with_requests() -> None:
    async def main() -> tuple[int, int]:
        house, counts = inside(), []
        for number in range(40):
            body = {
                "model": f"m-{number}",
                "messages": [{"role": "user", "content": f"{number}"}],
                "user": f"u{number}",
            }
            await drive(house.app, "POST", "/v1/chat/completions", json.dumps(body).encode())
            await drive(house.app, "GET", f"/v1/models/{number}")
            if number in (3, 4, 39):  # the first look at the metrics is counted in the second one
                text = (await drive(house.app, "GET", "/metrics")).body.decode()
                counts.append(sum(not line.startswith("#") for line in text.splitlines()))
        return counts[1], counts[2]

    early, late = asyncio.run(main())
    assert late == early
