"""When requests are due."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.bench.arrivals import constant, gamma, poisson, replay


def test_constant_ones_are_at_equal_distances() -> None:
    assert constant(4, 4, 2) == (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def test_a_ramp_is_as_long_as_it_is_and_grows_denser() -> None:
    dues = constant(1, 9, 10)
    assert len(dues) == 50
    assert sum(due < 5 for due in dues) == 15
    assert dues[-1] < 10


def test_a_ramp_down_to_nothing_ends() -> None:
    dues = constant(10, 0, 10)
    assert 49 <= len(dues) <= 50
    assert max(dues) < 10


def test_poisson_arrivals_have_the_rate_and_gaps_that_vary_as_much_as_their_mean() -> None:
    gaps = np.diff(poisson(50, 50, 400, seed=1))
    assert np.mean(gaps) == pytest.approx(1 / 50, rel=0.03)
    assert np.std(gaps) == pytest.approx(1 / 50, rel=0.05)


@pytest.mark.parametrize("burstiness", [0.2, 4.0])
def test_burstiness_is_the_shape_of_the_gaps(burstiness: float) -> None:
    gaps = np.diff(gamma(50, 50, 1_000, burstiness=burstiness, seed=2))
    assert np.mean(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert np.std(gaps) / np.mean(gaps) == pytest.approx(burstiness**-0.5, rel=0.05)


def test_the_same_seed_gives_the_same_times_and_another_one_others() -> None:
    assert poisson(5, 5, 10, seed=3) == poisson(5, 5, 10, seed=3) != poisson(5, 5, 10, seed=4)


@given(
    rate=st.floats(0.1, 50),
    until=st.floats(0, 50),
    duration_s=st.floats(0.1, 60),
    burstiness=st.floats(0.1, 10),
    seed=st.integers(0, 1000),
)
def test_times_are_in_order_and_within_the_phase(
    rate: float, until: float, duration_s: float, burstiness: float, seed: int
) -> None:
    dues = gamma(rate, until, duration_s, burstiness=burstiness, seed=seed)
    assert list(dues) == sorted(dues)
    assert all(0 <= due < duration_s for due in dues)


def test_a_replay_begins_at_its_first_time() -> None:
    assert replay([110.0, 100.0, 104.0], 60, speed=2) == (0.0, 2.0, 5.0)
    assert replay([0.0, 70.0], 60) == (0.0,)
    assert replay([], 60) == ()
