"""The comparison of strategies: what is summed up, and that every way is a strategy of the house."""

from __future__ import annotations

import pytest

from appliance.domain.request import Effort
from appliance.domain.strategy import BUILT_IN
from benchmarks.starter.strategies import BASELINE, WAYS, Answered, as_document


def answered(*right: bool, tokens: int = 10, fallbacks: tuple[str, ...] = ()) -> tuple[Answered, ...]:
    return tuple(
        Answered(f"p{n}", n % 2, ok, calls=2, tokens=tokens, engine_s=0.5, seconds=float(n), fallbacks=fallbacks)
        for n, ok in enumerate(right)
    )


def test_every_way_is_a_strategy_at_an_effort() -> None:
    assert {way.strategy for way in WAYS} == {*BUILT_IN, None}
    assert {way.effort for way in WAYS} <= set(Effort)
    assert len({way.name for way in WAYS}) == len(WAYS)
    assert BASELINE in {way.name for way in WAYS}


def test_costs_are_of_an_answer_and_of_a_right_one() -> None:
    direct = answered(True, False, False, False)
    document = as_document({BASELINE: direct, "x": answered(True, True, True, False, tokens=30, fallbacks=("y",))})
    x = document["ways"]["x"]
    assert (x["right"], x["share"], x["share_by_steps"]) == (3, 0.75, {0: 1.0, 1: 0.5})
    assert (x["share_easy"], x["share_of_steps"]) == (1.0, 0.5)
    assert (x["tokens_per_answer"], x["calls_per_answer"]) == (30, 2)
    assert x["engine_seconds_per_answer"] == 0.5
    assert x["engine_seconds_per_right_answer"] == pytest.approx(2 / 3)
    assert x["fallbacks"] == {"y": 4}
    assert x["p_against_direct"] == 0.5
    assert document["ways"][BASELINE]["p_against_direct"] == 1.0
