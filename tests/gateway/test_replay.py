"""Stored requests run again: the gateway around a whole coordinator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import FastAPI

from appliance.coordinator.options import CoordinatorOptions
from appliance.domain.request import CallContext, EngineCall
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Outcome, Trace
from appliance.errors import EngineUnavailable
from appliance.gateway.app import GatewayParts, build
from appliance.gateway.auth import KeyRing
from appliance.gateway.replay import load_pair
from appliance.telemetry.metrics import Metrics
from tests.coordinator import house
from tests.coordinator.house import MODELS, OPTIONS, QUESTION
from tests.fakes.fake_coordinator import FakeTraces, FakeUsage
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run
from tests.gateway.door import KEY, drive
from tests.gateway.door import Reply as HttpReply

KEEPING = Tenant("acme", keep_content=True)
CHOICE = replace(OPTIONS, allow_choice=True)
ASKED = {
    "model": "auto",
    "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": QUESTION}],
    "temperature": 0,
    "seed": 7,
    "max_tokens": 50,
    "reasoning_effort": "high",
}


class Door:
    """A gateway in front of a coordinator of its own; several may share their traces."""

    def __init__(
        self,
        script: Callable[[EngineCall, CallContext], Reply | str] = house.sound,
        *,
        options: CoordinatorOptions = CHOICE,
        tenant: Tenant = KEEPING,
        down: tuple[str, ...] = (),
    ) -> None:
        self.house = house.house(script, options=options, down=down)
        self.saved = self.house.traces.saved
        self.app = self._app(tenant)

    def of(self, tenant: Tenant) -> FastAPI:
        """The same house, as another tenant sees it."""
        return self._app(tenant)

    def _app(self, tenant: Tenant) -> FastAPI:
        parts = GatewayParts(
            answerer=self.house.coordinator,
            forecaster=self.house.coordinator,
            traces=FakeTraces(self.saved),
            usage=FakeUsage(),
            fleet=self.house.fleet,
            metrics=Metrics(models=MODELS, fleet=self.house.fleet),
            authenticator=KeyRing([KEY], tenant),
            role_models={},
            models=[],
            max_body_bytes=100_000,
            keep_alive_s=10.0,
        )
        return build(parts, version="0")

    async def ask(self) -> str:
        """The id of a trace."""
        reply = await drive(self.app, "POST", "/v1/chat/completions", json.dumps(ASKED).encode())
        assert reply.status == 200
        return reply.headers["x-trace-id"]

    async def replay(self, trace_id: str, app: FastAPI | None = None, **body: Any) -> HttpReply:
        """What the route answers."""
        content = json.dumps(body).encode() if body else b""
        return await drive(app or self.app, "POST", f"/v1/traces/{trace_id}/replay", content)


def both(reply: HttpReply) -> tuple[Trace, Trace]:
    assert reply.status == 200, reply.body
    return load_pair(reply.body)


def graph(trace: Trace) -> object:
    return [(task.task_id, task.skill, task.needs, task.instruction, task.result) for task in trace.tasks]


def test_without_another_choice_the_graph_the_calls_and_the_answer_are_the_same() -> None:
    async def main() -> None:
        door = Door()
        original, replay = both(await door.replay(await door.ask()))
        assert replay.trace_id != original.trace_id
        assert (replay.origin.replay_of, original.origin.replay_of) == (original.trace_id, None)
        assert replay.request == original.request
        assert (replay.answer, replay.outcome) == (original.answer, Outcome.OK) == ("79", Outcome.OK)
        assert len(graph(original)) == 2  # type: ignore[arg-type]  # None fails here as well
        assert graph(replay) == graph(original)
        assert [(c.model_id, c.prompt, c.answer) for c in replay.calls] == [
            (c.model_id, c.prompt, c.answer) for c in original.calls
        ]
        assert door.saved == [original, replay]

    run(main())


def test_the_whole_request_runs_again_not_the_last_question_alone() -> None:
    async def main() -> None:
        door = Door()
        _, replay = both(await door.replay(await door.ask(), strategy="direct", effort="medium"))
        assert (replay.decision.strategy, replay.request.effort) == ("direct", "medium")  # type: ignore[union-attr]  # None fails here as well
        call = door.house.client.asked[-1].call
        assert [message["content"] for message in call.messages] == ["Be short.", QUESTION]
        assert (call.max_tokens, call.params["seed"], call.params["temperature"]) == (50, 7, 0)

    run(main())


def test_another_model_plays_a_role_in_the_replay_alone() -> None:
    async def main() -> None:
        door = Door()
        trace_id = await door.ask()
        original, replay = both(await door.replay(trace_id, model_for={"executor.math": "math-2"}))
        assert {call.model_id for call in original.calls if call.role == "executor"} == {"math"}
        assert {call.model_id for call in replay.calls if call.role == "executor"} == {"math-2"}
        assert replay.answer == "79"
        again, third = both(await door.replay(replay.trace_id, strategy="direct"))
        assert again == replay
        assert third.request is not None
        assert third.request.model_for == {"executor.math": "math-2"}
        _, plain = both(await door.replay(trace_id))
        assert {call.model_id for call in plain.calls if call.role == "executor"} == {"math"}

    run(main())


def test_what_can_not_be_chosen_is_refused_by_name_and_runs_nothing() -> None:
    async def main() -> None:
        door = Door()
        trace_id = await door.ask()
        asked = len(door.house.client.asked)
        for body, status, param, words in (
            ({"model_for": {"verifier": "gpt"}}, 404, "model_for", "there is no model 'gpt' here"),
            ({"model_for": {"synthesizer": "math"}}, 400, "model_for", "math can't play synthesizer"),
            ({"strategy": "guess"}, 400, "strategy", "there is none of the name guess"),
            ({"effort": "huge"}, 400, "effort", "'low', 'medium' or 'high'"),
            ({"models": {}}, 400, "models", "unknown field"),
        ):
            reply = await door.replay(trace_id, **body)
            assert (reply.status, reply.error["param"]) == (status, param)
            assert words in reply.error["message"]
        assert (await drive(door.app, "POST", f"/v1/traces/{trace_id}/replay", b"{")).status == 400
        assert len(door.house.client.asked) == asked

    run(main())


def test_where_callers_may_not_choose_only_the_same_runs_again() -> None:
    async def main() -> None:
        door = Door(options=OPTIONS)
        trace_id = await door.ask()
        reply = await door.replay(trace_id, model_for={"verifier": "math"})
        assert (reply.status, reply.error["param"]) == (400, "model_for")
        assert "set coordinator.allow_choice" in reply.error["message"]
        _, replay = both(await door.replay(trace_id))
        assert replay.answer == "79"

    run(main())


def test_a_trace_without_its_request_says_the_way_out() -> None:
    async def main() -> None:
        door = Door(tenant=Tenant("acme"))
        reply = await door.replay(await door.ask())
        assert reply.status == 400
        assert "turn ledger.keep_content on and ask anew" in reply.error["message"]

    run(main())


def test_a_tenant_that_keeps_nothing_any_more_still_gets_the_answer_once() -> None:
    async def main() -> None:
        door = Door()
        _, replay = both(await door.replay(await door.ask(), door.of(Tenant("acme"))))
        assert (replay.answer, replay.request, door.saved[-1].answer) == ("79", None, None)

    run(main())


def test_another_tenants_trace_can_not_be_replayed() -> None:
    async def main() -> None:
        door = Door()
        reply = await door.replay(await door.ask(), door.of(Tenant("other", keep_content=True)))
        assert (reply.status, reply.error["code"]) == (404, "not_found")

    run(main())


def test_a_replay_that_fails_is_shown_as_such() -> None:
    healthy = True

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        return house.sound(call, ctx) if healthy else Reply(error=EngineUnavailable("gone"))

    async def main() -> None:
        nonlocal healthy
        door = Door(script)
        trace_id = await door.ask()
        healthy = False
        original, replay = both(await door.replay(trace_id))
        assert (original.outcome, replay.outcome, replay.answer) == (Outcome.OK, Outcome.ERROR, None)
        assert "gone" in replay.error

    run(main())
