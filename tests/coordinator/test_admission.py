"""Whole requests: what they hold of the pool, what is left out where it is short, and what is foreseen."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from appliance.domain.fleet import EngineFigures
from appliance.domain.forecast import Forecast
from appliance.domain.request import BudgetWish, CallContext, ChatRequest, EngineCall, Usage
from appliance.domain.tenant import Tenant
from appliance.errors import UnknownModel
from tests.coordinator.house import FORK, OPTIONS, House, asks, budgeted, content, events_of, finished, house, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run


def slow(call: EngineCall, ctx: CallContext) -> Reply | str:
    """Sound, 50 ms a token."""
    said = sound(call, ctx)
    return replace(Reply(said) if isinstance(said, str) else said, delay_s=0.05)


def foreseen(built: House, request: ChatRequest | None = None) -> Forecast:
    return built.coordinator.forecast(request or asks(), tenant=Tenant("acme"))


def with_kv(built: House, **kv_tokens: int) -> None:
    built.fleet.figures = {f"{model}-0": EngineFigures(kv_tokens=tokens) for model, tokens in kv_tokens.items()}


def test_a_preview_calls_no_engine_and_holds_nothing() -> None:
    async def main() -> None:
        built = house()
        found = foreseen(built)
        assert (found.strategy, found.reduced) == ("plan_execute_verify", ())
        assert [(call.role.value, call.model_id) for call in found.by_call] == [
            ("planner", "planner"),
            ("executor", "math"),
            ("executor", "text"),
            ("verifier", "verifier"),
        ]
        assert found.calls.p50 <= found.calls.p95
        assert found.basis == "not seen yet: a guess"
        assert found.kv_bytes is None
        assert foreseen(built, asks("hello")).strategy == "direct"
        assert foreseen(built, asks(model="math")).strategy == "passthrough"
        with pytest.raises(UnknownModel):
            foreseen(built, asks(model="nobody"))
        assert (built.client.asked, built.traces.saved) == ([], [])
        assert built.coordinator.admission.held_tokens == {}

    run(main())


def test_a_preview_says_what_a_small_budget_leaves_out() -> None:
    async def main() -> None:
        built = house()
        found = foreseen(built, asks(budget=BudgetWish(calls=4)))
        assert [left.step for left in found.reduced] == ["no repairs", "no verification"]
        assert "verifier" not in {call.model_id for call in found.by_call}
        assert foreseen(built, asks(budget=BudgetWish(calls=2))).strategy == "direct"

    run(main())


def test_two_racing_requests_do_not_both_get_the_last_room() -> None:
    async def main() -> None:
        built = house(slow)
        with_kv(built, planner=700, math=4000, text=4000, verifier=4000)  # a planner's call is thought to take 520
        first, second = await asyncio.gather(events_of(built, asks()), events_of(built, asks()))
        assert {finished(first).strategy, finished(second).strategy} == {"plan_execute_verify", "direct"}
        (cut,) = (end for end in (finished(first), finished(second)) if end.reduced)
        assert cut.reduced[-1].step == "one call answers"
        assert "KV tokens of planner" in cut.reduced[-1].reason
        third = await events_of(built, asks())
        assert (finished(third).strategy, finished(third).reduced) == ("plan_execute_verify", ())

    run(main())


@pytest.mark.parametrize("seed", range(6))
def test_whatever_ends_a_request_its_room_comes_back(seed: int) -> None:
    draw = random.Random(seed)

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if draw.random() < 0.1:
            return Reply(hangs=True)
        return "nonsense" if draw.random() < 0.1 else slow(call, ctx)

    async def main() -> None:
        built = house(script, options=budgeted(calls=draw.choice((2, 3, 5, 32)), gpu_s=draw.choice((None, 1.0, 30.0))))
        with_kv(built, planner=2000, math=2000, text=2000, verifier=900, generalist=1500)
        tasks = [asyncio.create_task(events_of(built, asks())) for _ in range(40)]
        for task in tasks:
            if draw.random() < 0.4:
                asyncio.get_running_loop().call_later(draw.uniform(0, 3), task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(built.traces.saved) >= 20
        for trace in built.traces.saved:
            assert trace.budget.used_calls <= trace.budget.limit_calls
            assert trace.budget.used_tokens == trace.usage.total_tokens

    run(main())  # conftest looks at every account afterwards


def test_a_plan_with_more_tasks_than_calls_goes_to_the_generalist_before_any_task_begins() -> None:
    options = replace(budgeted(calls=3), early_start=False)

    async def main() -> None:
        built = house(lambda call, ctx: FORK if call.model_id == "planner" else sound(call, ctx), options=options)
        events = await events_of(built, asks())
        assert (content(events), finished(events).strategy) == ("79", "direct")
        assert finished(events).reduced[-1].reason == "3 tasks need a call each, the request has 2 left"
        assert finished(events).calls == 2

    run(main())


def test_a_plan_larger_than_foreseen_loses_its_verification() -> None:
    options = replace(budgeted(calls=5), early_start=False)

    async def main() -> None:
        built = house(lambda call, ctx: FORK if call.model_id == "planner" else sound(call, ctx), options=options)
        events = await events_of(built, asks())
        assert finished(events).strategy == "plan_execute_verify"
        assert [left.step for left in finished(events).reduced] == ["no repairs", "no verification"]
        assert (built.trace.verdicts, finished(events).calls) == ((), 4)

    run(main())


def noisy(draw: random.Random) -> object:
    """Answers of different lengths at different speeds."""

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        said = sound(call, ctx)
        reply = Reply(said) if isinstance(said, str) else said
        usage = Usage(draw.randint(20, 60), draw.randint(5, 40))
        return replace(reply, delay_s=draw.lognormvariate(-3, 0.5), usage=usage)

    return script


@pytest.mark.parametrize("seed", range(4))
def test_after_fifty_requests_the_forecast_is_sane(seed: int) -> None:
    draw = random.Random(seed)

    async def main() -> None:
        built = house(noisy(draw))  # type: ignore[arg-type]  # a draw of any of the reply types
        for _ in range(50):
            await events_of(built, asks())
        found = foreseen(built)
        assert found.basis == "learned from 50 requests"
        later: list[tuple[float, float, float]] = []
        for _ in range(60):
            before = built.coordinator.forecast(asks(), tenant=Tenant("acme"))
            await events_of(built, asks())
            trace = built.traces.saved[-1]
            later.append((trace.duration_s / before.seconds.p50, before.seconds.p50, before.seconds.p95))
            assert len(trace.calls) == pytest.approx(before.calls.p50, abs=0.5)
        ratios = sorted(ratio for ratio, _, _ in later)
        assert 0.8 <= ratios[30] <= 1.25
        assert sum(ratio * p50 <= p95 for ratio, p50, p95 in later) >= 52
        totals = sorted(trace.usage.total_tokens for trace in built.traces.saved)
        assert 0.8 <= found.tokens.p50 / totals[55] <= 1.25
        assert totals[80] <= found.tokens.p95 <= 2 * totals[55]

    run(main())


def test_the_queue_is_part_of_the_forecast() -> None:
    async def main() -> None:
        built = house(lambda call, ctx: Reply("a b c d", delay_s=1.0), options=OPTIONS)
        idle = foreseen(built, asks("hello"))
        tasks = [asyncio.create_task(events_of(built, asks("hello"))) for _ in range(30)]
        await asyncio.sleep(0.5)
        busy = foreseen(built, asks("hello"))
        assert (idle.queue_s, busy.queue_s > 0) == (0.0, True)
        assert busy.seconds.p50 > idle.seconds.p50
        await asyncio.gather(*tasks)

    run(main())
