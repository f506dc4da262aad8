"""Features: the same for the same text, bounded, and blind to values."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.learning.features import COUNTS, HASHED, SIZE, features


@given(st.text(max_size=500))
def test_any_text_gives_finite_features_of_one_size(text: str) -> None:
    vector = features(text)
    assert vector.shape == (SIZE,)
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector[:HASHED]) <= 1 + 1e-5
    assert (vector == features(text)).all()


def test_numbers_and_codes_count_by_their_shape() -> None:
    assert (features("Take QEXAR and 84.") == features("Take ABCDE and 17.")).all()
    assert (features("Take QEXAR and 84.") != features("Take QEXAR and 842.")).any()


def test_counts_have_names() -> None:
    counts = dict(zip(COUNTS, features("Is 7 more than ABC?\nNo, 8.")[HASHED:], strict=True))
    assert counts["numbers"] == np.float32(np.log1p(2))
    assert counts["codes"] == counts["questions"] == counts["lines"] == np.float32(np.log1p(1))


def test_a_long_prompt_counts_by_both_ends() -> None:
    middle = "and so on " * 10_000
    assert (features(f"begin {middle} end")[:HASHED] == features(f"begin {middle * 2} end")[:HASHED]).all()
    assert (features(f"begin {middle} end") != features(f"begin {middle * 2} end")).sum() == 1
