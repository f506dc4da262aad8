"""The fewest GPUs: more for more, none for what no number holds, and the same under another seed."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from appliance.capacity.hardware import load_hardware
from appliance.capacity.sizing import Sized, TooSmall, holds, smallest, smallest_from
from tests.capacity.pools import OTHER, SMALL, alone, pair, question

KINDS = load_hardware()
L4 = KINDS["l4"]


def test_what_is_found_holds_and_one_gpu_less_does_not() -> None:
    asked = question("p95<6s", users=2400)
    found = smallest(alone(), L4, asked)
    assert isinstance(found, Sized)
    assert found.layout.gpus > 1
    assert holds(found.prediction, asked.objectives)
    assert found.below == found.layout.gpus - 1


def test_more_users_take_more_gpus() -> None:
    few, many = (smallest(alone(), L4, question("p95<12s", users=users)) for users in (100, 2400))
    assert isinstance(few, Sized)
    assert isinstance(many, Sized)
    assert few.layout.gpus < many.layout.gpus
    assert few.below == 0


def test_another_seed_gives_the_same_number() -> None:
    found = [smallest(pair(), L4, question("p95<25s", users=600, requests=150, seed=seed)) for seed in (0, 1, 2)]
    assert all(isinstance(each, Sized) for each in found)
    assert len({each.layout.gpus for each in found if isinstance(each, Sized)}) == 1


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (smallest(alone(), L4, question("p95<6s")) for _ in range(2))
    assert isinstance(first, Sized)
    assert isinstance(second, Sized)
    assert first.prediction.outcomes == second.prediction.outcomes


def test_what_no_number_of_gpus_holds_comes_with_what_an_unloaded_pool_does() -> None:
    asked = question("p95<100ms")
    found = smallest(alone(), L4, asked)
    assert isinstance(found, TooSmall)
    assert found.reason == "even without load it answers too slowly"
    assert found.unloaded is not None
    assert 0.1 < found.unloaded.estimate(asked.objectives[0]).mean < inf


def test_an_engine_spans_more_gpus_where_one_is_too_slow() -> None:
    one = smallest(alone().sized({SMALL: (1,)}), L4, question("p95<6s"))
    assert isinstance(one, TooSmall)
    found = smallest(alone(), L4, question("p95<6s"))
    assert isinstance(found, Sized)
    assert all(engine.tensor_parallel_size > 1 for engine in found.layout.plan.engines)


def test_more_than_the_most_gpus() -> None:
    found = smallest(alone(), L4, question("p95<12s", users=100_000, most_gpus=2, requests=500))
    assert isinstance(found, TooSmall)
    assert found.reason == "it would take more than 2 GPUs"


def test_a_model_that_fits_on_no_node() -> None:
    memory, single = replace(L4.memory_bytes, value=4 * 2**30), replace(L4.gpus_per_node, value=1)
    tiny = replace(L4, memory_bytes=memory, gpus_per_node=single)
    found = smallest(pair(), tiny, question())
    assert isinstance(found, TooSmall)
    assert found.reason in {f"{name} does not fit on the GPUs of one node of l4" for name in (SMALL, OTHER)}


def test_the_slow_end_of_the_band_takes_no_fewer() -> None:
    asked = question("p95<9s", users=1500)
    found = smallest(alone(), L4, asked)
    assert isinstance(found, Sized)
    slow = smallest_from(found.layout, replace(asked, band_end=1.0))
    assert isinstance(slow, TooSmall) or slow.layout.gpus >= found.layout.gpus


@pytest.mark.parametrize("slo", ["ttft_p95<3s", "mean<6s", "p50<6s,p99<12s"])
def test_every_kind_of_objective(slo: str) -> None:
    assert isinstance(smallest(alone(), L4, question(slo, users=100)), Sized)
