from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.coordinator.options import Roles, Sampling
from appliance.domain.model import Role
from appliance.domain.request import CallContext, ContentDelta, EngineCall, ReasoningDelta
from appliance.domain.trace import Outcome
from appliance.errors import BudgetExhausted, ContextTooLong, EngineRejected, EngineUnavailable
from tests.coordinator.house import OPTIONS, asks, budgeted, content, events_of, finished, house, reasoning
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

TWO_GENERALISTS = replace(OPTIONS, roles=Roles(generalist=("generalist", "generalist-2")))


def test_an_easy_question_takes_one_call() -> None:
    async def main() -> None:
        built = house()
        events = await events_of(built, asks("What is 12*7-5?"))
        assert content(events) == "79"
        assert reasoning(events) == "12*7=84,84-5=79;"
        assert (finished(events).strategy, finished(events).calls) == ("direct", 1)
        assert built.trace.decision.reasons == ("0 cues < 2",)

    run(main())


@pytest.mark.parametrize(
    ("pieces", "working", "answer"),
    [
        (("a=1", ",b=2;", "3"), "a=1,b=2;", "3"),
        (("a;b", ";", "c"), "a;b;", "c"),
        (("4", "2"), "", "42"),
        (("a;", " 7", " "), "a;", "7"),
        (("a", ";"), "a;", ""),
        (("x;1;2;3",), "x;1;2;", "3"),
    ],
)
def test_working_never_leaks_into_the_answer(pieces: tuple[str, ...], working: str, answer: str) -> None:
    async def main() -> None:
        events = await events_of(house(lambda call, ctx: Reply(pieces=pieces)), asks("hi"))
        assert (reasoning(events), content(events)) == (working, answer)

    run(main())


def test_an_instruct_model_streams_token_by_token() -> None:
    async def main() -> None:
        reply = Reply(pieces=("Hel", "lo; ", "you"), reasoning="hm")
        built = house(lambda call, ctx: reply, prompt_sets={"generalist": "instruct"})
        events = await events_of(built, asks("hi"))
        assert events[:4] == [ReasoningDelta("hm"), *map(ContentDelta, ("Hel", "lo; ", "you"))]

    run(main())


def test_the_callers_sampling_holds_and_its_max_tokens_bounds_the_answer() -> None:
    async def main() -> None:
        built = house()
        await events_of(built, asks("hi", max_tokens=5, sampling={"temperature": 0.4, "seed": 3}))
        await events_of(built, asks("hi", max_tokens=5000))
        first, second = (asked.call for asked in built.client.asked)
        assert (first.max_tokens, first.params) == (5, {"temperature": 0.4, "seed": 3})
        assert (second.max_tokens, second.params) == (64, {"temperature": 0.0})

    run(main())


def test_the_next_generalist_takes_over_before_the_first_token() -> None:
    async def main() -> None:
        built = house(options=TWO_GENERALISTS, down=("generalist",))
        assert content(await events_of(built, asks("hi"))) == "79"
        assert [c.outcome for c in built.trace.calls] == [Outcome.ERROR, Outcome.OK]

    run(main())


def _first_dies(call: EngineCall, ctx: CallContext) -> Reply | str:
    if call.model_id == "generalist":
        return Reply(pieces=("a", "b", "c"), error=EngineUnavailable("gone"), pieces_before_error=2)
    return "d"


INSTRUCT = {"generalist": "instruct", "generalist-2": "instruct"}


def test_an_engine_that_dies_after_the_caller_has_read_some_is_an_error() -> None:
    async def main() -> None:
        built = house(_first_dies, options=TWO_GENERALISTS, prompt_sets=INSTRUCT)
        with pytest.raises(EngineUnavailable, match="gone"):
            await events_of(built, asks("hi"))
        (call,) = built.trace.calls
        assert call.usage.completion_tokens == 2
        assert call.usage_estimated
        assert built.trace.error == "gone"

    run(main())


@pytest.mark.parametrize(("sets", "streamed"), [(INSTRUCT, False), ({}, True), ({}, False)])
def test_before_that_the_next_model_answers(sets: dict[str, str], streamed: bool) -> None:
    async def main() -> None:
        built = house(_first_dies, options=TWO_GENERALISTS, prompt_sets=sets)
        events = await events_of(built, asks("hi", streamed=streamed))
        assert content(events) == "d"
        assert [call.outcome for call in built.trace.calls] == [Outcome.ERROR, Outcome.OK]

    run(main())


def test_a_model_that_says_nothing_has_not_answered() -> None:
    async def main() -> None:
        built = house(lambda call, ctx: "" if call.model_id == "generalist" else "d", options=TWO_GENERALISTS)
        assert content(await events_of(built, asks("hi"))) == "d"
        built = house(lambda call, ctx: "")
        with pytest.raises(EngineRejected, match="generalist generated nothing"):
            await events_of(built, asks("hi"))

    run(main())


def _short_context(call: EngineCall, ctx: CallContext) -> Reply | str:
    return Reply(error=ContextTooLong("too long")) if call.max_tokens else "42"


def test_a_limit_of_ours_does_not_make_a_prompt_too_long() -> None:
    async def main() -> None:
        built = house(_short_context)
        events = await events_of(built, asks("hi"))
        assert content(events) == "42"
        assert [asked.call.max_tokens for asked in built.client.asked] == [64, None]
        assert finished(events).usage.prompt_tokens == 10

    run(main())


def test_a_limit_of_the_callers_is_kept() -> None:
    async def main() -> None:
        built = house(_short_context)
        with pytest.raises(ContextTooLong):
            await events_of(built, asks("hi", max_tokens=9))
        assert len(built.client.asked) == 1

    run(main())


def test_a_budget_below_the_longest_answer_makes_it_shorter_and_says_so() -> None:
    async def main() -> None:
        built = house(options=budgeted(tokens=100))
        events = await events_of(built, asks("What is 12*7-5?"))
        prompt = 8 + 8  # sixteen characters, and a message
        assert content(events) == "79"
        [asked] = built.client.asked
        assert asked.call.max_tokens == 64  # it fits as it is
        built = house(options=replace(budgeted(tokens=100), sampling={Role.GENERALIST: Sampling(max_tokens=500)}))
        events = await events_of(built, asks("What is 12*7-5?"))
        [asked] = built.client.asked
        assert asked.call.max_tokens == 100 - prompt
        assert [left.step for left in finished(events).reduced] == ["a shorter answer"]
        assert built.trace.reduced[0].reason == "500 tokens may be needed, the request has 84 left"
        assert "reduced: a shorter answer" in reasoning(events)

    run(main())


@pytest.mark.parametrize(("tokens", "wanted"), [(70, None), (70, 60)])
def test_an_answer_of_a_few_words_or_shorter_than_the_caller_wants_is_an_error(tokens: int, wanted: int | None) -> None:
    async def main() -> None:
        built = house(options=budgeted(tokens=tokens))
        with pytest.raises(BudgetExhausted, match="tokens"):
            await events_of(built, asks("What is 12*7-5?", max_tokens=wanted))
        assert not built.client.asked

    run(main())
