"""Paired statistics against figures worked out by hand, and what must hold for any scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.evaluation.paired import bootstrap, difference, mcnemar_p, tasks_needed


def test_mcnemar_by_hand() -> None:
    assert mcnemar_p(0, 0) == 1
    assert mcnemar_p(5, 0) == pytest.approx(2 / 32)
    assert mcnemar_p(8, 2) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar_p(3_000, 2_000) < 1e-30


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_knows_no_sides(won: int, lost: int) -> None:
    assert mcnemar_p(won, lost) == mcnemar_p(lost, won)
    assert 0 < mcnemar_p(won, lost) <= 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(0, 2**31))
def test_a_mean_lies_in_its_interval_and_the_seed_decides(values: list[float], seed: int) -> None:
    found = bootstrap(values, seed=seed)
    assert found.low - 1e-9 <= found.mean <= found.high + 1e-9
    assert bootstrap(values, seed=seed) == found


def test_the_interval_covers_what_it_promises() -> None:
    """Of 300 samples with a known share the interval holds it about 95 times of 100."""
    import numpy as np

    draws = np.random.default_rng(7).random((300, 120)) < 0.7
    held = sum(
        f.low <= 0.7 <= f.high for f in (bootstrap([float(x) for x in row], seed=i) for i, row in enumerate(draws))
    )
    assert 0.90 <= held / 300 <= 0.99


def test_a_difference_says_how_it_was_tested() -> None:
    binary = difference([1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], seed=1)
    assert (binary.won, binary.lost, binary.method) == (2, 0, "McNemar, exact")
    assert binary.interval.mean == 0.5
    graded = difference([0.5] * 30, [0.1] * 30, seed=1)
    assert graded.method == "sign flips"
    assert graded.p_value < 0.01
    assert difference([0.3, 0.4], [0.3, 0.4], seed=1).p_value == 1
    with pytest.raises(ValueError, match="as many"):
        difference([1.0], [], seed=1)


def test_more_tasks_are_needed_for_less() -> None:
    gaps = [1.0] * 6 + [-1.0] * 4 + [0.0] * 40
    assert tasks_needed(gaps, 0.01) > 500
    assert tasks_needed([1.0] * 30 + [0.0] * 20, 0.01) < 20
    assert tasks_needed([0.0] * 50, 0.02) > 50
    assert tasks_needed([], 0.02) == 2
