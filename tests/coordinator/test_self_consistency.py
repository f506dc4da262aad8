"""Self-consistency: the majority wins, no more is drawn than it needs, and nothing is left behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.strategy_options import SelfConsistencyOptions
from appliance.domain.request import Effort, Usage
from appliance.domain.trace import Outcome, Verdict
from appliance.errors import BudgetExhausted, EngineUnavailable
from tests.coordinator.house import House, asks, content, events_of, finished, reasoning
from tests.coordinator.several import TWO_SIZES, answering, judged
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

ASKED = asks(strategy="self_consistency")


def sampling(samples: int, **fields: object) -> CoordinatorOptions:
    return replace(TWO_SIZES, self_consistency=SelfConsistencyOptions(samples=samples, **fields))  # type: ignore[arg-type]  # the fields are named by each test


def rule_of(built: House) -> tuple[str, Verdict, int]:
    (verdict,) = built.trace.verdicts
    return verdict.rule, verdict.verdict, verdict.attempt


def test_three_that_agree_are_enough_of_five() -> None:
    async def main() -> None:
        built = judged(answering("a;79", "b;79.0", "c; 79"))
        events = await events_of(built, ASKED)
        assert content(events) == "79"
        assert "a;" in reasoning(events)
        assert finished(events).strategy == "self_consistency"
        assert finished(events).calls == 3
        assert rule_of(built) == ("majority 3/3", Verdict.PASS, 1)

    run(main())


def test_more_is_drawn_until_the_majority_is_certain() -> None:
    async def main() -> None:
        built = judged(answering("a;5", "b;79", "c;79", "d;5", "e;79"))
        events = await events_of(built, ASKED)
        assert (content(events), finished(events).calls) == ("79", 5)
        assert rule_of(built) == ("majority 3/5", Verdict.PASS, 2)

    run(main())


def test_samples_that_still_run_are_cancelled_down_to_the_engine() -> None:
    slow = Reply(pieces=("x",), hangs=True)

    async def main() -> None:
        built = judged(answering("a;5", slow, "c;79", "d;79", "e;79"), sampling(5))
        began_s = asyncio.get_running_loop().time()
        events = await events_of(built, ASKED)
        assert content(events) == "79"
        assert asyncio.get_running_loop().time() - began_s < 2  # patience with it, then another one instead
        assert (built.client.open_streams, built.client.aborted) == (0, 1)
        assert [call.outcome for call in built.trace.calls].count(Outcome.CANCELLED) == 1
        assert finished(events).usage == sum((call.usage for call in built.trace.calls), Usage())
        assert finished(events).usage.completion_tokens > 0

    run(main())


def test_samples_differ_by_seed_and_a_replay_draws_the_same() -> None:
    async def asked_with(seed: int | None) -> list[int]:
        built = judged(answering("a;1", "b;1", "c;1"))
        sampled = {} if seed is None else {"seed": seed}
        await events_of(built, replace(ASKED, sampling=sampled))
        assert {asked.call.params["temperature"] for asked in built.client.asked} == {0.7}
        return [asked.call.params["seed"] for asked in built.client.asked]

    async def main() -> None:
        first = await asked_with(None)
        assert len(set(first)) == 3
        assert await asked_with(None) == first
        assert await asked_with(7) == await asked_with(7) != first

    run(main())


def test_the_callers_temperature_holds_where_it_lets_answers_differ() -> None:
    async def main() -> None:
        for wished, used in ((0.3, 0.3), (0.0, 0.7)):
            built = judged(answering("a;1", "b;1", "c;1"))
            await events_of(built, replace(ASKED, sampling={"temperature": wished}))
            assert {asked.call.params["temperature"] for asked in built.client.asked} == {used}

    run(main())


def test_models_take_turns_and_stand_in_for_each_other() -> None:
    async def main() -> None:
        both = sampling(3, models=("generalist", "generalist-2"))
        built = judged(answering("a;1", "b;1"), both)
        await events_of(built, ASKED)
        assert [asked.call.model_id for asked in built.client.asked] == ["generalist", "generalist-2"]
        alone = judged(answering("a;1", "b;1"), both, down=("generalist-2",))
        assert content(await events_of(alone, ASKED)) == "1"
        assert [asked.call.model_id for asked in alone.client.asked] == ["generalist", "generalist"]

    run(main())


def test_what_is_cut_off_or_fails_does_not_vote() -> None:
    cut = Reply("x;5", finish_reason="length")

    async def main() -> None:
        broken = Reply(error=EngineUnavailable("gone"))
        built = judged(answering(cut, cut, "c;79", broken, broken), sampling(3), down=("generalist-2",))
        assert content(await events_of(built, ASKED)) == "79"
        assert rule_of(built)[0] == "majority 1/1"
        all_cut = judged(answering(*[cut] * 3), sampling(3))
        events = await events_of(all_cut, ASKED)
        assert (content(events), finished(events).finish_reason) == ("5", "length")

    run(main())


def test_without_any_answer_the_generalist_answers_directly() -> None:
    async def main() -> None:
        built = judged(answering("", "", "", "", "", "a;79"))
        events = await events_of(built, ASKED)
        assert (content(events), finished(events).strategy) == ("79", "direct")
        assert built.trace.fallbacks[-1].reason == "5 answers were empty"

    run(main())


@pytest.mark.parametrize("calls", range(1, 7))
def test_a_small_budget_means_fewer_samples(calls: int) -> None:
    async def main() -> None:
        options = replace(sampling(5), budget=replace(TWO_SIZES.budget, calls=calls))
        built = judged(answering(*[f"a;{n}" for n in range(9)]), options)
        events = await events_of(built, ASKED)
        assert content(events) == "0"
        assert finished(events).calls <= min(calls, 5)

    run(main())


def test_no_budget_at_all_is_an_error() -> None:
    async def main() -> None:
        built = judged(answering("a;1"), replace(TWO_SIZES, budget=replace(TWO_SIZES.budget, tokens=16)))
        with pytest.raises(BudgetExhausted, match="tokens"):
            await events_of(built, ASKED)
        assert not built.client.asked

    run(main())


def test_a_high_effort_may_draw_twice_as_many() -> None:
    async def main() -> None:
        built = judged(answering(*[f"a;{n}" for n in range(10)]))
        events = await events_of(built, replace(ASKED, effort=Effort.HIGH))
        assert finished(events).calls == 10
        assert rule_of(built) == ("majority 1/10", Verdict.UNSURE, 1)

    run(main())


def test_a_hung_sample_leaves_time_for_the_answer() -> None:
    async def main() -> None:
        hangs = Reply(pieces=("x",), hangs=True)
        built = judged(answering(hangs, hangs, hangs, "a;79"))
        events = await events_of(built, ASKED)
        assert (content(events), finished(events).strategy) == ("79", "direct")
        assert built.trace.duration_s < TWO_SIZES.budget.wall_s

    run(main())


def test_a_client_that_leaves_cancels_every_sample() -> None:
    async def main() -> None:
        hangs = Reply(pieces=("x",), hangs=True)
        built = judged(answering(hangs, hangs, hangs))
        consumer = asyncio.create_task(events_of(built, ASKED))
        await asyncio.sleep(1)
        assert built.client.open_streams == 3
        consumer.cancel()
        with suppress(asyncio.CancelledError):
            await consumer
        assert (built.client.open_streams, built.client.aborted) == (0, 3)
        assert built.dispatcher.in_flight == {}
        assert built.trace.outcome is Outcome.CANCELLED

    run(main())
