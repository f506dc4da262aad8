"""Means that forget, and quantiles that keep their promise."""

from __future__ import annotations

import random

import pytest

from appliance.coordinator.running_figures import Mean, Ratios


def test_a_mean_leaves_its_prior_quickly_and_follows_a_change() -> None:
    mean = Mean(100.0)
    for _ in range(20):
        mean.add(10.0)
    assert mean.value == pytest.approx(10.0, abs=5.0)
    for _ in range(200):
        mean.add(30.0)
    assert mean.value == pytest.approx(30.0, abs=0.1)


def test_without_a_weight_the_prior_counts_nothing() -> None:
    mean = Mean(7.0, weight=0)
    mean.add(2.0)
    assert mean.value == 2.0


def test_without_outcomes_quantiles_lie_around_one() -> None:
    ratios = Ratios()
    assert ratios.quantile(0.5) == pytest.approx(1.0, abs=0.15)
    assert 2.0 < ratios.quantile(0.95) < 4.0
    ratios.add(0.0, 1.0)
    ratios.add(1.0, 0.0)
    assert ratios.seen == 0


@pytest.mark.parametrize("seed", range(5))
def test_new_outcomes_stay_below_p95_as_often_as_promised(seed: int) -> None:
    draw, ratios = random.Random(seed), Ratios()
    below = 0
    for number in range(1200):
        outcome = draw.lognormvariate(0.4, 0.8)
        if number >= 200:
            below += outcome <= ratios.quantile(0.95)
        ratios.add(outcome, 1.0)
    assert 0.925 <= below / 1000 <= 0.975
