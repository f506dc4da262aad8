"""Best of n: the likeliest candidate, an early stop, and what happens where nobody judges."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.strategy_options import BestOfNOptions
from appliance.domain.request import CallContext, EngineCall
from appliance.domain.trace import Outcome
from appliance.errors import EngineUnavailable
from tests.coordinator.house import asks, content, events_of, finished, house
from tests.coordinator.several import TWO_SIZES, answering, judged, without_verifier
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

ASKED = asks(strategy="best_of_n")


def drawing(**fields: object) -> CoordinatorOptions:
    return replace(TWO_SIZES, best_of_n=BestOfNOptions(**fields))  # type: ignore[arg-type]  # the fields are named by each test


def test_the_likeliest_candidate_is_the_answer() -> None:
    async def main() -> None:
        right = {"1": 0.2, "2": 0.6, "3": 0.85, "4": 0.1}
        built = judged(answering("a;1", "b;2", "c;3", "d;4", right=right))
        events = await events_of(built, ASKED)
        assert content(events) == "3"
        assert (finished(events).strategy, finished(events).calls) == ("best_of_n", 8)
        assert sorted(verdict.probability for verdict in built.trace.verdicts) == pytest.approx([0.1, 0.2, 0.6, 0.85])
        assert {verdict.verifier_model_id for verdict in built.trace.verdicts} == {"verifier"}
        (task,) = built.trace.tasks
        assert (task.attempts, task.accepted_attempt) == (4, 3)

    run(main())


def test_one_that_surely_passes_ends_it_and_cancels_the_others() -> None:
    hangs = Reply(pieces=("x",), hangs=True)

    async def main() -> None:
        built = judged(answering(hangs, "b;2", hangs, hangs, right={"2": 0.95}))
        began_s = asyncio.get_running_loop().time()
        assert content(await events_of(built, ASKED)) == "2"
        assert asyncio.get_running_loop().time() - began_s < 0.1
        assert (built.client.open_streams, built.client.aborted) == (0, 3)
        assert built.dispatcher.in_flight == {}
        assert [call.outcome for call in built.trace.calls].count(Outcome.CANCELLED) == 3

    run(main())


def test_fewer_at_once_cost_less_where_an_early_one_passes() -> None:
    async def main() -> None:
        built = judged(answering("a;1", "b;2", right={"1": 0.3, "2": 0.97}), drawing(parallel=1))
        events = await events_of(built, ASKED)
        assert (content(events), finished(events).calls) == ("2", 4)
        assert built.client.most_open == 1

    run(main())


def test_the_first_candidate_is_what_the_generalist_answers_anyway() -> None:
    async def main() -> None:
        built = judged(answering("a;1", "b;1", "c;1", "d;1", right={"1": 0.3}))
        await events_of(built, ASKED)
        drawn = [asked.call.params for asked in built.client.asked if asked.call.model_id != "verifier"]
        assert [params["temperature"] for params in drawn] == [0.0, 0.7, 0.7, 0.7]
        assert len({params["seed"] for params in drawn[1:]}) == 3

    run(main())


def test_the_same_answer_twice_is_judged_once() -> None:
    async def main() -> None:
        built = judged(answering("a;1", "b;1", right={"1": 0.3}), drawing(candidates=2, parallel=1))
        await events_of(built, ASKED)
        assert len(built.client.prompts("verifier")) == 1
        assert [verdict.attempt for verdict in built.trace.verdicts] == [1, 2]

    run(main())


def test_candidates_may_be_spread_over_models() -> None:
    async def main() -> None:
        options = drawing(candidates=2, models=("generalist-2", "generalist"))
        built = judged(answering("a;1", "b;2", right={"1": 0.3, "2": 0.4}), options)
        assert content(await events_of(built, ASKED)) == "2"
        assert [c.model_id for c in built.trace.calls if c.model_id != "verifier"] == ["generalist-2", "generalist"]

    run(main())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (TWO_SIZES, "no verifier understands results of the skill answer"),
        (without_verifier(), "no verifier is configured"),
        (
            replace(TWO_SIZES, verification=replace(TWO_SIZES.verification, enabled=False)),
            "verification is switched off",
        ),
    ],
)
def test_where_nobody_can_judge_the_majority_decides(options: CoordinatorOptions, reason: str) -> None:
    async def main() -> None:
        built = house(answering("a;5", "b;79", "c;79", "d;79"), options=options)
        assert content(await events_of(built, ASKED)) == "79"
        (fallback,) = built.trace.fallbacks
        assert fallback.reason == reason
        assert fallback.action == "the most frequent answer is taken instead of the likeliest"
        assert built.trace.verdicts[0].rule == "majority 3/4"

    run(main())


def test_a_verifier_that_dies_leaves_it_to_the_majority() -> None:
    async def main() -> None:
        built = judged(answering("a;5", "b;79", "c;79", "d;79"), down=("verifier",))
        assert content(await events_of(built, ASKED)) == "79"
        assert built.trace.fallbacks[0].action == "results are taken unverified"
        assert built.trace.verdicts[-1].rule == "majority 3/4"

    run(main())


def test_candidates_that_fail_are_done_without() -> None:
    async def main() -> None:
        def script(call: EngineCall, ctx: CallContext) -> Reply | str:
            if call.params.get("temperature") == 0.0 and call.model_id.startswith("generalist"):
                return Reply(error=EngineUnavailable("gone"))
            return answering("b;2", right={"2": 0.6})(call, ctx)

        assert content(await events_of(judged(script), ASKED)) == "2"

    run(main())


@pytest.mark.parametrize("calls", range(1, 9))
def test_a_small_budget_means_fewer_candidates(calls: int) -> None:
    async def main() -> None:
        options = replace(drawing(parallel=1), budget=replace(TWO_SIZES.budget, calls=calls))
        right = {str(n): 0.3 for n in range(4)}
        built = judged(answering(*[f"a;{n}" for n in range(4)], right=right), options)
        events = await events_of(built, ASKED)
        assert content(events) == "0"
        assert finished(events).calls <= calls

    run(main())


def test_a_client_that_leaves_cancels_every_candidate() -> None:
    async def main() -> None:
        built = judged(answering(*[Reply(pieces=("x",), hangs=True)] * 4))
        consumer = asyncio.create_task(events_of(built, ASKED))
        await asyncio.sleep(1)
        consumer.cancel()
        with suppress(asyncio.CancelledError):
            await consumer
        assert (built.client.open_streams, built.client.aborted) == (0, 4)
        assert built.dispatcher.in_flight == {}

    run(main())
