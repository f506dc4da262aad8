"""The cascade: small models first, larger ones for what does not pass, and nothing shown that is thrown away."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.strategy_options import CascadeOptions
from appliance.domain.request import CallContext, ContentDelta, Effort, EngineCall
from appliance.domain.trace import Outcome, Verdict
from appliance.errors import EngineUnavailable
from tests.coordinator.house import House, asks, content, events_of, finished, house, reasoning, sound
from tests.coordinator.several import TWO_SIZES, answering, judged, without_verifier
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

ASKED = asks(strategy="cascade")


def cascading(**fields: object) -> CoordinatorOptions:
    return replace(TWO_SIZES, cascade=CascadeOptions(**fields))  # type: ignore[arg-type]  # the fields are named by each test


def generalists(built: House) -> list[str]:
    return [asked.call.model_id for asked in built.client.asked if asked.call.model_id != "verifier"]


def test_the_small_model_answers_what_it_surely_can() -> None:
    async def main() -> None:
        built = judged(answering("work;79", right={"79": 0.9}))
        events = await events_of(built, ASKED)
        assert (content(events), finished(events).strategy, finished(events).calls) == ("79", "cascade", 2)
        assert generalists(built) == ["generalist-2"]
        assert "work;" in reasoning(events)

    run(main())


def test_what_does_not_pass_goes_to_the_larger_model_and_is_never_shown() -> None:
    async def main() -> None:
        built = judged(answering("secret;5", Reply(pieces=("b;", "7", "9")), right={"5": 0.1}))
        events = await events_of(built, ASKED)
        assert content(events) == "79"
        assert "secret" not in reasoning(events)
        assert "generalist-2 ✗ 0.10: the next stage answers" in reasoning(events)
        assert generalists(built) == ["generalist-2", "generalist"]
        assert len(built.trace.verdicts) == 1
        (task,) = built.trace.tasks
        assert (task.attempts, task.accepted_attempt) == (2, 2)

    run(main())


def test_the_last_stage_streams_token_by_token() -> None:
    async def main() -> None:
        script = answering("x;5", Reply(pieces=("Hel", "lo ", "you"), delay_s=1), right={"x;5": 0.1})
        sets = {"verifier": "instruct", "generalist": "instruct", "generalist-2": "instruct"}
        built = house(script, options=TWO_SIZES, prompt_sets=sets)
        events = await events_of(built, ASKED)
        assert [e for e in events if isinstance(e, ContentDelta)] == [*map(ContentDelta, ("Hel", "lo ", "you"))]

    run(main())


def test_an_own_threshold_wins_over_the_verifiers() -> None:
    async def main() -> None:
        for wanted, model in ((0.65, "generalist"), (0.5, "generalist-2"), (0.55, "generalist-2")):
            built = judged(answering("a;5", "b;79", right={"5": 0.6}), cascading(min_confidence=wanted))
            await events_of(built, ASKED)
            assert generalists(built)[-1] == model

    run(main())


def test_the_models_are_those_of_the_configuration() -> None:
    async def main() -> None:
        options = cascading(models=("text", "generalist-2", "generalist"))
        built = judged(answering("a;1", "b;2", "c;3", right={"1": 0.1, "2": 0.2}), options)
        assert content(await events_of(built, ASKED)) == "3"
        assert generalists(built) == ["text", "generalist-2", "generalist"]

    run(main())


def test_what_no_model_can_goes_on_to_another_strategy() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "verifier":
            return Reply(pieces=("because", "\nfail"), probability=0.1)
        return "a;5" if call.model_id.startswith("generalist") else sound(call, ctx)

    async def main() -> None:
        options = cascading(then="plan_execute_verify")
        built = judged(script, replace(options, verification=replace(options.verification, repair_attempts=0)))
        events = await events_of(built, ASKED)
        assert content(events) == "79"
        assert generalists(built) == ["generalist-2", "generalist", "planner", "math", "math"]
        assert "no model's answer passed: plan_execute_verify goes on" in reasoning(events)

    run(main())


def test_a_low_effort_takes_the_small_models_answer_unverified_and_as_it_comes() -> None:
    async def main() -> None:
        options = replace(cascading(then="plan_execute_verify"), easy="cascade")
        built = judged(answering("a;5"), options)
        events = await events_of(built, asks(effort=Effort.LOW))
        assert (content(events), finished(events).strategy, finished(events).calls) == ("5", "cascade", 1)
        assert generalists(built) == ["generalist-2"]

    run(main())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (TWO_SIZES, "no verifier understands results of the skill answer"),
        (without_verifier(), "no verifier is configured"),
    ],
)
def test_where_nobody_can_judge_the_largest_model_answers(options: CoordinatorOptions, reason: str) -> None:
    async def main() -> None:
        built = house(answering("a;79"), options=options)
        assert content(await events_of(built, ASKED)) == "79"
        assert generalists(built) == ["generalist"]
        (fallback,) = built.trace.fallbacks
        assert (fallback.reason, fallback.action) == (reason, "the largest model answers")

    run(main())


@pytest.mark.parametrize(("small", "models"), [("79", 1), ("78", 2)])
def test_a_sum_is_judged_by_rule_whoever_verifies(small: str, models: int) -> None:
    async def main() -> None:
        built = house(answering(f"a;{small}", "b;79"), options=TWO_SIZES)
        events = await events_of(built, asks("What is 12*7-5?", strategy="cascade"))
        assert (content(events), finished(events).calls) == ("79", models)
        (verdict,) = built.trace.verdicts
        assert (verdict.verdict is Verdict.PASS, verdict.verifier_model_id) == (models == 1, "")

    run(main())


def test_a_verifier_that_dies_means_the_last_stage() -> None:
    async def main() -> None:
        options = cascading(models=("text", "generalist-2", "generalist"))
        built = judged(answering("a;5", "b;79"), options, down=("verifier",))
        assert content(await events_of(built, ASKED)) == "79"
        assert generalists(built) == ["text", "generalist"]
        assert built.trace.fallbacks[-1].reason == "nobody could judge the answer"

    run(main())


def test_a_model_that_fails_is_skipped() -> None:
    async def main() -> None:
        built = judged(answering("a;79"), down=("generalist-2",))
        assert content(await events_of(built, ASKED)) == "79"
        assert built.trace.fallbacks[0].action == "the next stage answers"

    run(main())


def test_where_the_last_stage_fails_the_likeliest_answer_is_better_than_nothing() -> None:
    async def main() -> None:
        options = cascading(models=("text", "generalist-2", "generalist"))
        script = answering("a;1", "b;2", right={"1": 0.3, "2": 0.1})
        built = judged(script, options, down=("generalist",))
        events = await events_of(built, ASKED)
        assert (content(events), finished(events).strategy) == ("1", "cascade")
        assert built.trace.fallbacks[-1].action == "the answer of text is taken, the likeliest (0.30)"

    run(main())


DIES = Reply(pieces=("b;", "7", ";", "9"), error=EngineUnavailable("gone"), pieces_before_error=2)


def test_where_the_last_stage_breaks_off_unread_an_earlier_answer_is_better_than_none() -> None:
    async def main() -> None:
        built = judged(answering("a;1", DIES, right={"1": 0.3}))
        assert content(await events_of(built, ASKED)) == "1"
        assert built.trace.fallbacks[-1].action == "the answer of generalist-2 is taken, the likeliest (0.30)"

    run(main())


def test_what_the_caller_has_read_of_the_last_stage_ends_in_its_error() -> None:
    async def main() -> None:
        sets = {"verifier": "instruct", "generalist": "instruct", "generalist-2": "instruct"}
        built = house(answering("a;1", DIES, right={"a;1": 0.3}), options=TWO_SIZES, prompt_sets=sets)
        with pytest.raises(EngineUnavailable, match="gone"):
            await events_of(built, ASKED)
        assert built.trace.outcome is Outcome.ERROR

    run(main())


@pytest.mark.parametrize("calls", range(1, 5))
def test_budgets_hold_and_leave_an_answer(calls: int) -> None:
    async def main() -> None:
        options = replace(TWO_SIZES, budget=replace(TWO_SIZES.budget, calls=calls))
        built = judged(answering("a;1", "b;2", right={"1": 0.3}), options)
        events = await events_of(built, ASKED)
        assert content(events) == ("1" if calls == 1 else "2")
        assert finished(events).calls <= calls

    run(main())


def test_a_hung_stage_leaves_time_for_the_next_one() -> None:
    async def main() -> None:
        built = judged(answering(Reply(pieces=("x",), hangs=True), "b;79"))
        assert content(await events_of(built, ASKED)) == "79"
        assert built.trace.duration_s < TWO_SIZES.budget.wall_s / 2

    run(main())


def test_a_client_that_leaves_cancels_the_stage() -> None:
    async def main() -> None:
        built = judged(answering(Reply(pieces=("x",), hangs=True)))
        consumer = asyncio.create_task(events_of(built, ASKED))
        await asyncio.sleep(1)
        consumer.cancel()
        with suppress(asyncio.CancelledError):
            await consumer
        assert (built.client.open_streams, built.client.aborted) == (0, 1)
        assert built.dispatcher.in_flight == {}

    run(main())
