"""What the placement relies on: a larger KV cache never makes an engine slower, and so two on one GPU gain nothing."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.placement.candidates import Candidate
from appliance.placement.prepared import prepare
from tests.placement.problems import GIB, catalog, h100, problem, wanted

MODELS = ("qwen3-4b", "qwen3-30b-a3b", "deepseek-v3", "gemma-3-12b-it", "nemotron-nano-9b-v2")
SIZES = st.integers(0, 60 * GIB)


@cache
def candidate(model_id: str) -> Candidate:
    """The engine on as many GPUs as it may take."""
    asked = problem(h100(), models=(wanted(model_id, 4096),), roles={"executors.math": (model_id,)})
    return list(prepare(asked).candidates.values())[-1]


@pytest.mark.parametrize("model_id", MODELS)
@given(one=SIZES, other=SIZES, share=st.floats(0, 1))
def test_two_replicas_on_one_gpu_are_no_faster_than_one(model_id: str, one: int, other: int, share: float) -> None:
    assert model_id in catalog()
    engine = candidate(model_id)
    first, second, both = engine.rate(one), engine.rate(other), engine.rate(one + other)
    assert first is not None
    assert second is not None
    assert both is not None
    assert both >= (share * first + (1 - share) * second) * (1 - 1e-9)
