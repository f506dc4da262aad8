from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.evaluation.intervals import Share, wilson_interval


def test_agrees_with_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20, 95% by the score method.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(0, 500), st.integers(1, 500))
def test_an_interval_holds_its_share(count: int, of: int) -> None:
    share = Share(min(count, of), of)
    low, high = share.interval
    assert 0 <= low <= share.value <= high <= 1
    assert share.as_document()["interval_95"] == [low, high]


def test_nothing_of_nothing_is_no_share() -> None:
    assert Share(0, 0).value == 0.0
