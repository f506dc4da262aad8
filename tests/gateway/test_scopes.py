"""Each path asks for its scope, and what the table does not know is for administrators."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from appliance.domain.tenant import ALL_SCOPES, Scope, Tenant
from appliance.gateway.auth import Presented
from appliance.gateway.scopes import needed
from tests.gateway.door import House, call, chat

INFERENCE, TRACES, METRICS, ADMIN = Scope.INFERENCE, Scope.TRACES, Scope.METRICS, Scope.ADMIN


@dataclass(frozen=True, slots=True)
class Holder:
    """Everybody comes with these scopes."""

    scopes: frozenset[Scope]

    def known(self, _shown: Presented) -> Tenant:
        return Tenant("acme", scopes=self.scopes)

    async def found(self, shown: Presented) -> Tenant:
        return self.known(shown)


@pytest.mark.parametrize(
    ("method", "path", "opened_by"),
    [
        ("POST", "/v1/chat/completions", {INFERENCE}),
        ("POST", "/v1/plan", {INFERENCE}),
        ("GET", "/v1/models", set(ALL_SCOPES)),
        ("GET", "/v1/traces", {TRACES}),
        ("GET", "/v1/traces/x", {TRACES}),
        ("GET", "/metrics", {METRICS, ADMIN}),
        ("GET", "/fleet", {METRICS, ADMIN}),
        ("GET", "/ready", set(ALL_SCOPES)),
        ("GET", "/openapi.json", set(ALL_SCOPES)),
        ("GET", "/nothing", {ADMIN}),
        ("GET", "/v1/nothing", {ADMIN}),
        ("POST", "/v1/chat/completions/", {ADMIN}),
        ("GET", "/v1/modelsx", {ADMIN}),
    ],
)
def test_a_path_is_opened_by_its_scopes_alone(method: str, path: str, opened_by: set[Scope]) -> None:
    for scope in ALL_SCOPES:
        reply = call(House(authenticator=Holder(frozenset({scope}))).app, method, path, chat())
        assert (reply.status == 403) == (scope not in opened_by), scope
        if reply.status == 403:
            assert reply.error["code"] == "not_allowed"
            assert f"this credential has {scope}" in reply.error["message"]


def test_a_replay_reads_a_trace_and_infers() -> None:
    path = "/v1/traces/x/replay"
    for scopes in ({TRACES}, {INFERENCE}, {METRICS, ADMIN}):
        assert call(House(authenticator=Holder(frozenset(scopes))).app, "POST", path).status == 403
    assert call(House(authenticator=Holder(frozenset({TRACES, INFERENCE}))).app, "POST", path).status == 404


def test_without_scopes_nothing_is_open_but_health() -> None:
    app = House(authenticator=Holder(frozenset())).app
    assert call(app, "GET", "/health").status == 200
    for path in ("/v1/models", "/openapi.json", "/metrics"):
        assert call(app, "GET", path).status == 403


def test_every_route_of_the_application_is_in_the_table_or_for_administrators() -> None:
    paths = House().app.openapi()["paths"]
    for_administrators = {path for path in paths if needed(path) == (frozenset({ADMIN}),)}
    assert len(paths) > 10
    assert not for_administrators, "give a new route its scope in gateway/scopes.py"
