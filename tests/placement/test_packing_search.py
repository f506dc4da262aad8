"""The packing solver against an exhaustive search, and on many devices."""

from __future__ import annotations

import random

import pytest

from appliance.placement.packing import Limits, Packing, Shape, Slot, highest_rate, holds, rate_of
from appliance.placement.packing_search import Effort, pack
from appliance.placement.slice_bound import slice_bounds
from benchmarks.placement_cases import GIB, Exhaustive, random_packing

GAP = 0.1


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


def test_many_devices_are_mixed_within_the_stated_gap_and_the_same_each_time() -> None:
    packing = random_packing(3, 8, 24)
    packed = pack(packing, Effort(window=0.05, later=0.02))
    assert packed is not None
    assert holds(packing, packed.puts)
    assert packed.rate == rate_of(packing, packed.puts)
    assert packed.gap <= GAP
    assert packed == pack(packing, Effort(window=0.05, later=0.02))


@pytest.mark.parametrize("seed", range(16))
def test_the_bound_of_many_devices_holds_on_few(seed: int) -> None:
    packing = random_packing(seed, 1 + seed % 4, 2 + seed % 3, kinds=1 + seed % 2, node_devices=2)
    best = Exhaustive(packing).solve()
    assert best is not None
    bounds = [bound.rate for bound in slice_bounds(packing, highest_rate(packing), 0.005)]
    assert all(bound >= best for bound in bounds)
    assert bounds == sorted(bounds, reverse=True)
    assert bounds or best == 0


def test_an_engine_that_fills_a_device_to_the_last_byte_is_placed() -> None:
    room = 10 * GIB + 1
    packing = Packing((room,), (0,), (0,), (0,), (Slot(0, (0,)),), (Shape(0, 0, 0, room, 2.0, 1.0),), (Limits(),), (0,))
    packed = pack(packing)
    assert packed is not None
    assert packed.rate == pytest.approx(2.0, rel=0.01)
