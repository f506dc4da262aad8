"""Whatever the strategy and however small the budget or ill the engines: an answer or one typed error, nothing left."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from appliance.coordinator.strategy_options import CascadeOptions
from appliance.domain.request import CallContext, EngineCall, Usage
from appliance.domain.strategy import BUILT_IN
from appliance.domain.trace import Outcome
from appliance.errors import ApplianceError, EngineRejected, EngineUnavailable
from tests.coordinator.house import House, asks, events_of, finished, sound
from tests.coordinator.several import TWO_SIZES, judged
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

OPTIONS = replace(TWO_SIZES, cascade=CascadeOptions(then="plan_execute_verify"))


def doubtful(call: EngineCall, ctx: CallContext) -> Reply | str:
    """Everything works, but the verifier believes nothing."""
    if call.model_id == "verifier":
        return Reply(pieces=("no", "\nfail"), probability=0.2)
    return sound(call, ctx)


async def answered(built: House, strategy: str) -> None:
    """Ask, and see that nothing is left behind and that the account is right."""
    try:
        assert finished(await events_of(built, asks(strategy=strategy))).calls
        outcome = Outcome.OK
    except ApplianceError:
        outcome = Outcome.ERROR
    trace = built.trace
    assert trace.outcome is outcome
    assert (built.client.open_streams, built.dispatcher.in_flight) == (0, {})
    assert trace.usage == sum((call.usage for call in trace.calls), Usage())
    assert trace.budget.used_calls <= trace.budget.limit_calls
    assert trace.budget.used_tokens <= trace.budget.limit_tokens
    assert trace.duration_s <= trace.budget.limit_wall_s + 1


@pytest.mark.parametrize("strategy", BUILT_IN)
@pytest.mark.parametrize("tokens", [20, 120, 240, 480, 960, 1920])
def test_token_budgets_hold(strategy: str, tokens: int) -> None:
    async def main() -> None:
        await answered(judged(doubtful, replace(OPTIONS, budget=replace(OPTIONS.budget, tokens=tokens))), strategy)

    run(main())


@pytest.mark.parametrize("strategy", BUILT_IN)
@pytest.mark.parametrize("seed", range(25))
def test_ill_engines_are_survived(strategy: str, seed: int) -> None:
    chance = random.Random(f"{strategy} {seed}")

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        match chance.choice(("well", "well", "hung", "slow", "dead", "refused", "empty", "cut")):
            case "hung":
                return Reply(pieces=("1",), hangs=True)
            case "slow":
                return Reply(pieces=("a", ";", "7"), delay_s=3)
            case "dead":
                return Reply(pieces=("a", ";"), error=EngineUnavailable("gone"), pieces_before_error=1)
            case "refused":
                return Reply(error=EngineRejected("no", status=500))
            case "empty":
                return ""
            case "cut":
                return Reply("a;7", finish_reason="length")
        return doubtful(call, ctx)

    async def main() -> None:
        await answered(judged(script, OPTIONS), strategy)

    run(main())
