"""The packing solver against an exhaustive search, and on many devices."""

from __future__ import annotations

import random

import pytest

from appliance.placement.packing import holds, rate_of
from appliance.placement.packing_search import Effort, pack
from benchmarks.placement_cases import Exhaustive, random_packing


@pytest.mark.parametrize("seed", range(12))
def test_within_two_percent_of_the_best(seed: int) -> None:
    dice = random.Random(seed)
    packing = random_packing(seed, dice.randint(1, 4), dice.randint(1, 3))
    best, packed = Exhaustive(packing).solve(), pack(packing)
    assert best is not None
    if packed is None:
        assert best == 0
    else:
        assert holds(packing, packed.puts)
        assert packed.rate is not None
        assert packed.rate >= 0.98 * best
        assert packed.bound is not None
        assert packed.bound >= best * 0.995


def test_many_devices_are_solved_window_by_window_within_the_stated_gap() -> None:
    packing = random_packing(4, 8, 24)
    packed = pack(packing, Effort(window=0.05, later=0.02))
    assert packed is not None
    assert holds(packing, packed.puts)
    assert packed.rate == rate_of(packing, packed.puts)
    assert packed.gap < 0.4
