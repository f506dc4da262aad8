from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from appliance.coordinator.options import Roles
from appliance.domain.model import Role
from appliance.domain.request import CallContext, ContentDelta, EngineCall, Usage
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Outcome, Verdict
from appliance.errors import (
    ConfigError,
    ContextTooLong,
    InvalidRequest,
    UnknownModel,
)
from tests.coordinator.house import (
    FORK,
    OPTIONS,
    QUESTION,
    asks,
    content,
    events_of,
    finished,
    house,
    reasoning,
    sound,
)
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run


def test_plans_executes_verifies_and_answers() -> None:
    async def main() -> None:
        built = house(options=replace(OPTIONS, early_start=False))
        events = await events_of(built, asks())
        assert content(events) == "79"
        assert reasoning(events).splitlines() == [
            "orchestrating: plan_execute_verify",
            "planner planner: 2 tasks",
            "s1 math 12*7 → 84 ✓ 0.99",
            "s2 math 84-5 → 79 ✓ 0.99",
        ]
        end, trace = finished(events), built.trace
        assert (end.strategy, end.finish_reason, end.calls, end.trace_id) == ("plan_execute_verify", "stop", 5, "t1")
        assert trace.decision.reasons == (r"2 cues ≥ 2: \beach\b ×1, \bthen\b ×1",)
        assert [(t.task_id, t.needs, t.outcome, t.accepted_attempt) for t in trace.tasks] == [
            ("s1", (), Outcome.OK, 1),
            ("s2", ("s1",), Outcome.OK, 1),
        ]
        assert [v.verdict for v in trace.verdicts] == [Verdict.PASS] * 2
        assert (trace.outcome, trace.fallbacks, trace.budget.stopped_by) == (Outcome.OK, (), None)

    run(main())


def test_usage_is_the_exact_sum_over_all_calls() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        reply = sound(call, ctx)
        reply = Reply(reply) if isinstance(reply, str) else reply
        sizes = {"planner": Usage(100, 40, 16), "math": Usage(7, 3), "verifier": Usage(11, 5)}
        return replace(reply, usage=sizes[call.model_id])

    async def main() -> None:
        built = house(script)
        end = finished(await events_of(built, asks()))
        assert end.usage == Usage(100 + 2 * 7 + 2 * 11, 40 + 2 * 3 + 2 * 5, 16)
        assert end.usage_by_role == {
            "planner": Usage(100, 40, 16),
            "executor": Usage(14, 6),
            "verifier": Usage(22, 10),
        }
        assert end.usage_by_model == {"planner": Usage(100, 40, 16), "math": Usage(14, 6), "verifier": Usage(22, 10)}
        assert built.trace.usage == end.usage
        assert built.trace.budget.used_tokens == end.usage.total_tokens
        assert not any(call.usage_estimated for call in built.trace.calls)

    run(main())


def test_independent_tasks_overlap() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "planner":
            return FORK
        reply = sound(call, ctx)
        return replace(Reply(reply) if isinstance(reply, str) else reply, pieces=(), delay_s=1.0)

    async def main() -> None:
        built = house(script)
        events = await events_of(built, asks())
        assert content(events) == "91"
        calls = {(c.task_id, c.role): c for c in built.trace.calls}
        first, second = calls["s1", Role.EXECUTOR], calls["s2", Role.EXECUTOR]
        assert first.started_s == second.started_s
        assert built.client.most_open == 3  # these two, and the planner at the end of its plan
        verified = max(calls[task, Role.VERIFIER].started_s for task in ("s1", "s2")) + 3.0
        assert calls["s3", Role.EXECUTOR].started_s == pytest.approx(verified)

    run(main())


def test_a_failed_result_is_sampled_again_and_the_first_pass_wins() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        first = call.params.get("temperature") == 0.0
        if call.model_id == "math" and call.messages[-1]["content"] == "12*7" and first:
            return "working;85"
        return sound(call, ctx)

    async def main() -> None:
        built = house(script)
        events = await events_of(built, asks())
        assert content(events) == "79"
        assert "s1 math 12*7 → 85 ✗ 0.02\ns1 math 12*7 → 84 ✓ 0.99" in reasoning(events)
        samples = [a.call.params for a in built.client.asked if a.prompt == "12*7"]
        assert samples[0] == {"temperature": 0.0}
        assert samples[1]["temperature"] == 0.8
        assert isinstance(samples[1]["seed"], int)
        assert built.trace.tasks[0].accepted_attempt == 2
        assert built.trace.fallbacks == ()

    run(main())


def test_repair_seeds_differ_by_attempt_and_are_the_same_on_a_replay() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "verifier":
            return Reply("x;fail", probability=0.1)
        return sound(call, ctx)

    async def seeds(**fields: Any) -> list[object]:
        built = house(script)
        await events_of(built, asks(**fields))
        return [a.call.params["seed"] for a in built.client.asked if "seed" in a.call.params]

    async def main() -> None:
        once = await seeds()
        assert len(once) == len(set(once)) == 4
        assert await seeds() == once
        assert await seeds(sampling={"seed": 7}) != once
        assert await seeds(sampling={"seed": 7}) == await seeds(sampling={"seed": 7})

    run(main())


def test_when_no_attempt_passes_the_likeliest_is_taken_and_the_trace_says_so() -> None:
    results = iter(["84", "85", "86"])

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        prompt = str(call.messages[-1]["content"])
        if call.model_id == "math" and prompt == "12*7":
            return f"w;{next(results)}"
        if call.model_id == "verifier" and prompt.startswith("12*7"):
            return Reply("w;fail", probability={"84": 0.1, "85": 0.4, "86": 0.2}[prompt.split()[-1]])
        return sound(call, ctx)

    async def main() -> None:
        built = house(script)
        events = await events_of(built, asks())
        assert content(events) == "80"
        assert built.trace.tasks[0].accepted_attempt == 2
        (note,) = built.trace.fallbacks
        assert note.role is Role.VERIFIER
        assert "none of 3 attempts passed" in note.reason
        assert "0.40" in note.action

    run(main())


def test_equal_results_are_verified_once() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "math":
            return "w;1"
        return sound(call, ctx)

    async def main() -> None:
        built = house(script)
        await events_of(built, asks())
        assert built.client.prompts("verifier") == ["12*7 = 1", "1-5 = 1"]
        assert len(built.trace.verdicts) == 6

    run(main())


def test_an_empty_or_cut_off_result_is_not_shown_to_the_verifier() -> None:
    answers = iter([Reply("w;"), Reply("w;8", finish_reason="length"), Reply("w;84")])

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "math" and call.messages[-1]["content"] == "12*7":
            return next(answers)
        return sound(call, ctx)

    async def main() -> None:
        built = house(script)
        assert content(await events_of(built, asks())) == "79"
        rules = [v.rule for v in built.trace.verdicts if v.task_id == "s1"]
        assert rules == ["empty result", "cut off at max_tokens", "verdict token"]

    run(main())


def test_contents_are_kept_only_for_tenants_that_allow_it() -> None:
    async def main() -> None:
        bare, full = house(), house()
        await events_of(bare, asks())
        await events_of(full, asks(), keep_content=True)
        for word in (QUESTION, "12*7", "84"):
            assert word not in repr(bare.trace)
        trace = full.trace
        assert (trace.question, trace.answer) == (QUESTION, "79")
        assert trace.tasks[1].instruction == "84-5"
        assert trace.tasks[1].result == "79"
        first = next(call for call in trace.calls if call.role is Role.EXECUTOR)
        assert first.answer == "working;84"
        assert "12*7" in (first.prompt or "")
        assert (bare.trace.request, trace.request) == (None, asks())
        assert [call.finish_reason for call in trace.calls] == ["stop"] * 5
        assert all(call.reserved_tokens >= call.usage.total_tokens for call in trace.calls)

    run(main())


def test_progress_is_only_shown_when_wanted() -> None:
    async def main() -> None:
        assert reasoning(await events_of(house(), asks(show_progress=False))) == ""

    run(main())


def test_the_first_event_comes_at_acceptance() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        reply = sound(call, ctx)
        return replace(Reply(reply) if isinstance(reply, str) else reply, delay_s=0.1)

    async def main() -> None:
        built = house(script)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        events = await events_of(built, asks())
        assert loop.time() - began_s > 4
        assert reasoning(events).startswith("orchestrating")
        built = house(script)
        began_s = loop.time()
        stream = built.coordinator.answer(asks(), request_id="r", trace_id="t", tenant=Tenant("acme"))
        await anext(stream)
        assert loop.time() == began_s
        await stream.aclose()

    run(main())


def test_each_call_carries_its_context() -> None:
    async def main() -> None:
        built = house()
        began_s = asyncio.get_running_loop().time()
        await events_of(built, asks())
        contexts = [asked.ctx for asked in built.client.asked]
        assert {(c.request_id, c.trace_id, c.tenant) for c in contexts} == {("r1", "t1", "acme")}
        assert [c.task_id for c in contexts] == ["plan", "s1", "s1", "s2", "s2"]
        assert {c.deadline_s for c in contexts} == {began_s + 45, began_s + 22.5}
        (salt,) = {c.cache_salt for c in contexts}
        assert len(salt) == 64
        other = house()
        stream = other.coordinator.answer(asks(), request_id="r", trace_id="t", tenant=Tenant("other"))
        assert [event async for event in stream]
        assert other.client.asked[0].ctx.cache_salt != salt

    run(main())


def test_unknown_models_are_named_with_the_known_ones() -> None:
    async def main() -> None:
        built = house()
        with pytest.raises(UnknownModel, match="known: auto, generalist, generalist-2, math") as caught:
            await events_of(built, asks(model="gpt-5"))
        assert caught.value.param == "model"
        assert built.trace.outcome is Outcome.ERROR
        assert built.client.asked == []

    run(main())


@pytest.mark.parametrize("error", [ContextTooLong("too long", param="messages"), InvalidRequest("bad", param="top_p")])
def test_a_named_model_passes_its_errors_on(error: ContextTooLong | InvalidRequest) -> None:
    async def main() -> None:
        built = house(lambda call, ctx: Reply(error=error))
        with pytest.raises(type(error)) as caught:
            await events_of(built, asks(model="math"))
        assert caught.value is error
        assert built.trace.outcome is Outcome.ERROR
        assert built.trace.usage == Usage()

    run(main())


def test_a_named_model_is_relayed_word_for_word() -> None:
    delta = {"content": "a", "tool_calls": [{"index": 0, "id": "x"}]}
    logprobs = {"content": [{"token": "a", "logprob": -0.1}]}

    async def main() -> None:
        reply = Reply(pieces=("work", ";", "a;b"), raw_delta=delta, raw_logprobs=logprobs, finish_reason="tool_calls")
        built = house(lambda call, ctx: reply)
        request = asks("hi", model="math", max_tokens=9, sampling={"top_p": 0.3, "tools": [{}], "seed": 4})
        events = await events_of(built, request)
        assert events[0] == ContentDelta("work", delta, logprobs)
        assert events[1:3] == [ContentDelta(";"), ContentDelta("a;b")]
        assert (finished(events).finish_reason, finished(events).strategy) == ("tool_calls", "passthrough")
        (asked,) = built.client.asked
        assert asked.call == EngineCall(
            "math", ({"role": "user", "content": "hi"},), 9, {"top_p": 0.3, "tools": [{}], "seed": 4}
        )

    run(main())


def test_roles_are_checked_at_start() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="nobody plays verifier, but is not in the pool"):
            house(options=replace(OPTIONS, roles=Roles(generalist=("generalist",), verifier=("nobody",))))
        with pytest.raises(ConfigError, match="math can't play synthesizer: its prompt set starter"):
            house(options=replace(OPTIONS, roles=Roles(generalist=("generalist",), synthesizer=("math",))))

    run(main())


def test_the_receipts_of_roles_and_models_add_up_to_the_gpu_seconds_of_the_calls() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        said = sound(call, ctx)
        return replace(Reply(said) if isinstance(said, str) else said, delay_s=0.5)

    async def main() -> None:
        built = house(script)
        end = finished(await events_of(built, asks(show_progress=False)))
        calls = built.trace.calls
        assert all(call.gpu_s == pytest.approx(call.engine_s) for call in calls)  # nobody else was on these engines
        assert end.gpu_s == pytest.approx(sum(call.gpu_s for call in calls))
        assert sum(end.gpu_s_by_role.values()) == pytest.approx(end.gpu_s)
        assert sum(end.gpu_s_by_model.values()) == pytest.approx(end.gpu_s)
        assert set(end.gpu_s_by_role) == set(end.usage_by_role)
        assert end.gpu_s > 0

    run(main())
