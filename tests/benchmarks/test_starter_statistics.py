"""The statistics behind the comparison table."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.starter.statistics import majority, mcnemar_p, percentile, wilson_interval


def test_mcnemar_of_known_table() -> None:
    first = [True] * 8 + [False] * 2 + [True] * 5
    second = [False] * 8 + [True] * 2 + [True] * 5
    assert mcnemar_p(first, second) == pytest.approx(2 * (1 + 10 + 45) / 2**10)


def test_mcnemar_without_discordant_pairs_proves_nothing() -> None:
    assert mcnemar_p([True, False], [True, False]) == 1.0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_mcnemar_is_a_probability_and_symmetric(pairs: list[tuple[bool, bool]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    assert 0 <= mcnemar_p(first, second) <= 1
    assert mcnemar_p(first, second) == mcnemar_p(second, first)


@given(st.integers(0, 50), st.integers(1, 50))
@example(0, 47)
def test_wilson_holds_the_share(right: int, more: int) -> None:
    low, high = wilson_interval(right, right + more)
    assert 0 <= low <= right / (right + more) <= high <= 1


def test_majority_prefers_the_first_among_equals() -> None:
    assert majority(["7", "9", "9", "7", "3"]) == "7"
    with pytest.raises(ValueError, match="no answers"):
        majority([])


def test_percentile_interpolates() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.5
    assert percentile([], 95) == 0.0
