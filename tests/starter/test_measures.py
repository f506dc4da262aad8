"""Calibration and the paired test against values worked out by hand."""

import pytest

from models.starter.measures import calibration_error, mcnemar, share


def test_perfect_probabilities_have_no_calibration_error() -> None:
    assert calibration_error([1.0, 0.0], [True, False]) == 0


def test_overconfidence_is_the_gap() -> None:
    assert calibration_error([0.9] * 10, [True] * 5 + [False] * 5) == pytest.approx(0.4)


def test_mcnemar_counts_only_disagreements() -> None:
    first = [True] * 10 + [False, True]
    second = [False] * 10 + [True, True]
    assert mcnemar(first, second) == {"only_first": 10, "only_second": 1, "p": 0.0117}


def test_no_disagreement_is_no_evidence() -> None:
    assert mcnemar([True], [True])["p"] == 1.0


def test_share_of_nothing_is_zero() -> None:
    assert share([]) == 0
