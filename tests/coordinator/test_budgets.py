from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.budget import Budget, Need, Reservation
from appliance.coordinator.calls import METERED_CHUNKS
from appliance.coordinator.options import BudgetLimits, Roles, Sampling
from appliance.domain.model import Role
from appliance.domain.request import BudgetWish, CallContext, EngineCall
from appliance.domain.trace import Outcome
from appliance.errors import BudgetExhausted
from tests.coordinator.house import (
    CHAIN,
    OPTIONS,
    asks,
    budgeted,
    content,
    events_of,
    finished,
    house,
    reasoning,
    sound,
)
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run


def test_a_budget_without_room_for_verification_skips_it_and_says_so() -> None:
    async def main() -> None:
        built = house(options=budgeted(calls=3))
        events = await events_of(built, asks())
        assert content(events) == "79"
        assert finished(events).calls == 3
        assert [c.role for c in built.trace.calls] == [Role.PLANNER, Role.EXECUTOR, Role.EXECUTOR]
        assert [left.step for left in finished(events).reduced] == ["no repairs", "no verification"]
        assert built.trace.reduced == finished(events).reduced
        assert "reduced: no verification (about 5 calls are needed, the request has 3)" in reasoning(events)

    run(main())


def test_repair_stops_with_the_budget_and_the_best_so_far_is_taken() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "verifier":
            return Reply("w;fail", probability=0.3)
        return sound(call, ctx)

    async def main() -> None:
        built = house(script, options=budgeted(calls=5))
        assert content(await events_of(built, asks())) == "79"
        assert built.trace.budget.used_calls == 5
        assert built.trace.budget.stopped_by == "calls"
        assert built.trace.reduced == ()  # what was expected did fit

    run(main())


def test_when_the_team_does_not_fit_the_generalist_answers() -> None:
    async def main() -> None:
        built = house(options=budgeted(calls=2))
        events = await events_of(built, asks())
        assert (content(events), finished(events).strategy) == ("79", "direct")
        assert [left.step for left in built.trace.reduced] == ["no repairs", "no verification", "one call answers"]
        assert "3 calls are needed, the request has 2" in built.trace.decision.reasons[-1]
        sampling = {**OPTIONS.sampling, Role.EXECUTOR: Sampling(max_tokens=1000)}
        built = house(options=replace(budgeted(tokens=800), sampling=sampling))
        assert content(await events_of(built, asks())) == "79"
        assert built.trace.reduced[-1].step == "one call answers"
        assert "the request has 800" in built.trace.reduced[-1].reason

    run(main())


def test_a_planner_that_uses_up_the_calls_is_one_typed_error() -> None:
    async def main() -> None:
        built = house(options=budgeted(calls=3))
        built.client.script = lambda call, ctx: "nonsense" if call.model_id == "planner" else Reply(hangs=True)
        with pytest.raises(BudgetExhausted) as caught:
            await events_of(built, asks())
        assert caught.value.limit == "wall_s"
        assert built.trace.budget.used_calls == 3

    run(main())


def test_a_hung_verifier_leaves_time_for_the_rest() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "verifier":
            return Reply(hangs=True)
        return sound(call, ctx)

    async def main() -> None:
        built = house(script)
        assert content(await events_of(built, asks())) == "79"
        assert built.trace.budget.stopped_by == "wall_s"
        assert built.trace.duration_s == pytest.approx(22.5 + 11.25)
        assert (built.trace.verdicts, built.trace.fallbacks) == ((), ())

    run(main())


def test_a_hung_team_leaves_time_for_the_generalist() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        return Reply(hangs=True) if call.model_id == "math" else sound(call, ctx)

    async def main() -> None:
        built = house(script)
        assert content(await events_of(built, asks())) == "79"
        assert built.trace.duration_s == pytest.approx(45)
        (note,) = built.trace.fallbacks
        assert "wall_s: 60" in note.reason

    run(main())


def test_wall_time_that_is_up_before_any_answer_is_one_typed_error() -> None:
    async def main() -> None:
        built = house(lambda call, ctx: Reply(hangs=True))
        with pytest.raises(BudgetExhausted) as caught:
            await events_of(built, asks())
        assert caught.value.limit == "wall_s"
        assert built.trace.duration_s == pytest.approx(60)
        assert built.trace.outcome is Outcome.ERROR
        assert built.client.open_streams == 0

    run(main())


def test_without_room_for_the_synthesizer_the_final_result_is_the_answer() -> None:
    roles = replace(OPTIONS.roles, synthesizer=("generalist-2",))
    options = replace(OPTIONS, roles=roles, budget=replace(OPTIONS.budget, calls=4))

    async def main() -> None:
        built = house(options=options, prompt_sets={"generalist-2": "instruct"})
        plans = iter(("nonsense", CHAIN))
        built.client.script = lambda call, ctx: next(plans) if call.model_id == "planner" else sound(call, ctx)
        assert content(await events_of(built, asks())) == "79"
        (note,) = built.trace.fallbacks
        assert note.role is Role.SYNTHESIZER

    run(main())


def test_the_synthesizer_streams_the_answer_from_quoted_results() -> None:
    roles = replace(OPTIONS.roles, synthesizer=("generalist-2",))

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "generalist-2":
            return Reply(pieces=("79", " pens"))
        return sound(call, ctx)

    async def main() -> None:
        built = house(script, options=replace(OPTIONS, roles=roles), prompt_sets={"generalist-2": "instruct"})
        events = await events_of(built, asks(max_tokens=20))
        assert content(events) == "79 pens"
        (asked,) = (a for a in built.client.asked if a.call.model_id == "generalist-2")
        assert asked.call.max_tokens == 20
        assert 's2 (math): "84-5" → "79"' in asked.prompt

    run(main())


def test_roles_of_the_budget_default() -> None:
    assert Roles(generalist=("g",)).by_role()[0] == (Role.GENERALIST, ("g",))


def test_keep_is_left_for_what_must_come() -> None:
    budget = Budget(BudgetLimits(calls=3, tokens=100), 0.0)
    with pytest.raises(BudgetExhausted, match="calls: 3"):
        budget.reserve(10, 1.0, 9.0, Need(calls=3))
    with pytest.raises(BudgetExhausted, match="tokens: 100"):
        budget.reserve(10, 1.0, 9.0, Need(tokens=91))
    assert budget.reserve(10, 1.0, 9.0, Need(calls=2, tokens=90)).tokens == 10
    assert budget.stopped_by == "calls"


def test_a_call_that_was_never_sent_is_given_back() -> None:
    budget = Budget(BudgetLimits(calls=1, tokens=100), 0.0)
    budget.settle(budget.reserve(60, 0.0, 1.0), 0, sent=False)
    assert (budget.used_calls, budget.remaining_tokens) == (0, 100)
    with pytest.raises(BudgetExhausted):
        budget.reserve(1, 120.0, 120.0)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), max_size=60), st.integers(1, 400))
def test_calls_that_race_never_pass_the_limits_when_estimates_hold(calls: list[tuple[int, int]], tokens: int) -> None:
    budget = Budget(BudgetLimits(calls=20, tokens=tokens), 0.0)
    held = []
    for reserve, used in calls:
        try:
            held.append((budget.reserve(reserve, 1.0, 9.0), min(used, reserve)))
        except BudgetExhausted:
            if held:
                budget.settle(*held.pop(0))
        assert budget.used_tokens + budget.reserved_tokens <= tokens
        assert budget.used_calls <= 20
    for reservation, used in held:
        budget.settle(reservation, used)
    assert budget.reserved_tokens == 0
    assert budget.used_tokens <= tokens


def test_a_caller_may_lower_its_budget_and_never_raise_it() -> None:
    limits = BudgetLimits(calls=10, tokens=1000, wall_s=60, gpu_s=None)
    lowered = limits.lowered(BudgetWish(calls=3, tokens=5000, gpu_s=2.0, wall_s=10))
    assert lowered == BudgetLimits(calls=3, tokens=1000, wall_s=10, gpu_s=2.0)
    assert replace(limits, gpu_s=1.0).lowered(BudgetWish(gpu_s=2.0)).gpu_s == 1.0
    assert limits.lowered(BudgetWish()) == limits


def test_the_callers_budget_holds_for_its_request() -> None:
    async def main() -> None:
        built = house()
        events = await events_of(built, asks(budget=BudgetWish(calls=3)))
        assert (content(events), finished(events).calls) == ("79", 3)
        assert built.trace.budget.limit_calls == 3

    run(main())


def slow(call: EngineCall, ctx: CallContext) -> Reply | str:
    """Sound, a quarter of a second a token."""
    said = sound(call, ctx)
    return replace(Reply(said) if isinstance(said, str) else said, delay_s=0.25)


def test_gpu_seconds_stop_the_team_and_leave_room_for_the_generalist() -> None:
    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        return Reply("w " * 400, delay_s=0.25) if call.model_id == "math" else slow(call, ctx)

    async def main() -> None:
        built = house(script, options=budgeted(gpu_s=24.0))
        assert content(await events_of(built, asks())) == "79"
        trace = built.trace
        assert trace.budget.stopped_by == "gpu_s"
        assert trace.budget.limit_gpu_s == 24.0
        assert trace.budget.used_gpu_s < 24.0
        team_s = sum(call.gpu_s for call in trace.calls if call.role is not Role.GENERALIST)
        assert 18.0 < team_s <= 18.0 + 2 * METERED_CHUNKS * 0.25  # the planner still writes while the first task runs
        assert "gpu_s: 24.0" in trace.fallbacks[0].reason

    run(main())


def test_a_direct_answer_is_cut_when_its_gpu_seconds_are_used_up() -> None:
    async def main() -> None:
        built = house(lambda call, ctx: Reply("w " * 400, delay_s=0.25))
        with pytest.raises(BudgetExhausted) as caught:
            await events_of(built, asks("hello", budget=BudgetWish(gpu_s=3.0)))
        assert caught.value.limit == "gpu_s"
        assert 3.0 < built.trace.budget.used_gpu_s <= 3.0 + METERED_CHUNKS * 0.25
        assert built.client.open_streams == 0

    run(main())


EVENTS = st.lists(st.tuples(st.sampled_from(["reserve", "meter", "settle"]), st.integers(0, 9), st.floats(0, 5)))


@given(EVENTS, st.floats(0.1, 20))
def test_an_account_is_even_when_all_calls_are_settled(
    events: list[tuple[str, int, float]], gpu_limit_s: float
) -> None:
    budget = Budget(BudgetLimits(calls=5, tokens=100, gpu_s=gpu_limit_s), 0.0)
    held: list[tuple[Reservation, float]] = []
    spent_s, tokens = 0.0, 0
    for kind, which, amount in events:
        if kind == "reserve":
            with suppress(BudgetExhausted):
                held.append((budget.reserve(10 + which, 1.0, 9.0, gpu_s=amount, gpu_limit_s=gpu_limit_s), 0.0))
        elif held:
            reservation, used_s = held.pop(which % len(held))
            used_s += amount
            if kind == "meter":
                with suppress(BudgetExhausted):
                    budget.meter(reservation, used_s)
                held.append((reservation, used_s))
            else:
                budget.settle(reservation, which, used_s)
                spent_s, tokens = spent_s + used_s, tokens + which
        assert budget.used_calls <= 5
        assert budget.used_tokens + budget.reserved_tokens <= 100 + tokens
    for reservation, used_s in held:
        budget.settle(reservation, 1, used_s)
        spent_s, tokens = spent_s + used_s, tokens + 1
    assert (budget.reserved_tokens, budget.used_tokens) == (0, tokens)
    assert budget.reserved_gpu_s == pytest.approx(0.0, abs=1e-9)
    assert budget.used_gpu_s == pytest.approx(spent_s)
