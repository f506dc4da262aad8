"""Alive, ready, metrics, engines."""

from __future__ import annotations

from dataclasses import replace

from appliance.domain.engine import EngineState
from appliance.domain.fleet import EngineFigures, PlanNote
from appliance.domain.request import ContentDelta
from appliance.errors import Overloaded
from tests.gateway.door import House, call, chat, engine, house


def test_alive_says_nothing_of_engines() -> None:
    target = House()
    target.fleet.publish(())
    assert call(target.app, "GET", "/health", headers=[]).status == 200


def test_ready_when_every_role_can_be_played() -> None:
    reply = call(House().app, "GET", "/ready")
    assert (reply.status, reply.json()) == (200, {"ready": True, "missing": {}})


def test_not_ready_names_the_role_and_its_models() -> None:
    target = House()
    target.fleet.publish((engine("starter-generalist"), engine("starter-planner", EngineState.WARMING)))
    reply = call(target.app, "GET", "/ready")
    assert (reply.status, reply.json()) == (503, {"ready": False, "missing": {"planner": ["starter-planner"]}})


def test_an_open_ready_does_not_name_what_is_missing() -> None:
    target = House(open_paths=frozenset({"/health", "/ready"}))
    target.fleet.publish((engine("starter-generalist"),))
    reply = call(target.app, "GET", "/ready", headers=[])
    assert (reply.status, reply.json()) == (503, {"ready": False})


def test_fleet_shows_engines_without_keys() -> None:
    reply = call(House().app, "GET", "/fleet")
    shown = reply.json()["engines"][0]
    assert (shown["engine_id"], shown["state"], shown["pid"]) == ("starter-planner-0", "ready", 4711)
    assert b"engine-secret" not in reply.body
    assert "api_key" not in shown


def test_fleet_shows_figures_and_null_for_what_is_not_known() -> None:
    target = House()
    known = EngineFigures(("GPU-1",), 9, 7, 21_760, 3, 0, 12.5, "takes more than planned")
    target.fleet.figures = {"starter-planner-0": known}
    target.fleet.publish((replace(engine("starter-planner"), detail="it is wanted"), engine("starter-generalist")))
    first, second = call(target.app, "GET", "/fleet").json()["engines"]
    assert first["gpu_ids"] == ["GPU-1"]
    assert (first["memory_planned_bytes"], first["memory_measured_bytes"], first["kv_tokens"]) == (9, 7, 21_760)
    assert (first["requests_running"], first["requests_waiting"], first["tokens_per_s"]) == (3, 0, 12.5)
    assert first["detail"] == "it is wanted; takes more than planned"
    unknown = ("memory_planned_bytes", "memory_measured_bytes", "kv_tokens", "requests_running", "tokens_per_s")
    assert [second[name] for name in unknown] == [None] * len(unknown)
    assert (second["gpu_ids"], second["detail"]) == ([], "")


def test_fleet_says_when_and_why_the_plan_was_made() -> None:
    target = House()
    assert call(target.app, "GET", "/fleet").json()["plan"] is None
    target.fleet.plan = PlanNote(1_700_000_000.5, ("GPU 1: it has fallen off the bus",), ("m has no engine any more",))
    assert call(target.app, "GET", "/fleet").json()["plan"] == {
        "made_unix_s": 1_700_000_000.5,
        "why": ["GPU 1: it has fallen off the bus"],
        "trouble": ["m has no engine any more"],
    }


def test_metrics_count_requests_by_route_status_and_strategy() -> None:
    target = house(ContentDelta("hello"))
    call(target.app, body=chat())
    call(target.app, "GET", "/never/seen/17")
    call(target.app, "GET", "/v1/models", headers=[])
    text = call(target.app, "GET", "/metrics").body.decode()
    chat_labels = 'route="/v1/chat/completions",status="200",strategy="direct",tenant_class="default"'
    assert f"appliance_requests_total{{{chat_labels}}} 1.0" in text
    assert 'appliance_requests_total{route="unmatched",status="404",strategy="none",tenant_class="default"} 1.0' in text
    assert 'appliance_requests_total{route="unmatched",status="401",strategy="none",tenant_class="none"} 1.0' in text
    assert 'appliance_time_to_first_token_seconds_count{strategy="direct",tenant_class="default"} 1.0' in text
    assert 'appliance_engines{model="starter-planner",state="ready"} 1.0' in text
    assert "seen" not in text


def test_metrics_count_refusals() -> None:
    target = house(Overloaded("full", retry_after_s=1))
    call(target.app, body=chat(stream=True))
    labels = {"route": "/v1/chat/completions", "status": "429", "strategy": "none", "tenant_class": "default"}
    assert target.metrics.registry.get_sample_value("appliance_requests_total", labels) == 1


def test_models_show_what_they_can_do() -> None:
    listed = call(House().app, "GET", "/v1/models").json()["data"]
    assert listed[0]["virtual"] is True
    assert (listed[1]["licence"], listed[1]["max_model_len"], listed[1]["ready_engines"]) == ("Apache-2.0", 768, 1)


def test_openapi_document_describes_the_body() -> None:
    document = call(House().app, "GET", "/openapi.json").json()
    body = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"model", "messages", "show_progress"} <= set(body["properties"])
    assert "$ref" not in str(body)
