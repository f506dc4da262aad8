"""Whether a tree fits: the first rung that fits everywhere, each step with its reason."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.fitting import Capacity, Direct, Full, Load, Means, Reduced, Rung, fit, shortage

RUNGS = (
    Rung("", Load(calls=9, tokens=900, kv_tokens={"math": 300})),
    Rung("no repairs", Load(calls=5, tokens=500, kv_tokens={"math": 300})),
    Rung("no verification", Load(calls=3, tokens=300, kv_tokens={"math": 100})),
)
REQUEST = Means("the request", calls=32, tokens=1000)


def test_the_whole_plan_fits() -> None:
    assert fit(RUNGS, (REQUEST,), Capacity({"math": 300})) == Full()


def test_each_step_down_says_what_was_short() -> None:
    found = fit(RUNGS, (REQUEST, Means("the tenant", tokens=400)), Capacity())
    assert isinstance(found, Reduced)
    assert [(left.step, left.reason) for left in found.steps] == [
        ("no repairs", "about 900 tokens are needed, the tenant has 400"),
        ("no verification", "about 500 tokens are needed, the tenant has 400"),
    ]
    assert found.index == 2


def test_kv_tokens_that_others_hold_are_not_free() -> None:
    found = fit(RUNGS, (REQUEST,), Capacity({"math": 350}, {"math": 200}))
    assert isinstance(found, Reduced)
    assert found.steps[0].reason == "about 300 KV tokens of math are needed, 150 of 350 are free"


def test_a_tree_larger_than_the_whole_pool_may_have_all_of_it() -> None:
    assert fit(RUNGS, (REQUEST,), Capacity({"math": 200})) == Full()
    assert isinstance(fit(RUNGS, (REQUEST,), Capacity({"math": 200}, {"math": 1})), Reduced)


def test_one_call_answers_when_nothing_fits() -> None:
    found = fit(RUNGS, (Means("the request", calls=2),), Capacity())
    assert isinstance(found, Direct)
    assert found.steps[-1].step == "one call answers"
    assert len(found.steps) == 3


LOADS = st.builds(
    Load,
    calls=st.floats(0, 20),
    tokens=st.floats(0, 2000),
    gpu_s=st.floats(0, 10),
    seconds=st.floats(0, 100),
    kv_tokens=st.dictionaries(st.sampled_from("ab"), st.integers(0, 500)),
)
MEANS = st.builds(Means, st.just("m"), st.floats(0, 20), st.floats(0, 2000), st.floats(0, 10), st.floats(0, 100))


@given(
    st.lists(LOADS, min_size=1, max_size=4),
    st.lists(MEANS, max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 500)),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 500)),
)
def test_what_is_chosen_fits_and_nothing_above_it_does(
    loads: list[Load], means: list[Means], total: dict[str, int], held: dict[str, int]
) -> None:
    rungs = [Rung(str(index), load) for index, load in enumerate(loads)]
    capacity = Capacity(total, held)
    found = fit(rungs, means, capacity)
    chosen = 0 if isinstance(found, Full) else found.index if isinstance(found, Reduced) else len(rungs)
    assert all(shortage(rung.load, means, capacity) for rung in rungs[:chosen])
    if chosen < len(rungs):
        assert not shortage(rungs[chosen].load, means, capacity)
    if not isinstance(found, Full):
        assert all(left.reason for left in found.steps)


def test_no_rung_below_the_one_that_fits_is_asked_for() -> None:
    rungs = iter(RUNGS)
    assert fit(rungs, (REQUEST,), Capacity({"math": 300})) == Full()
    assert tuple(rungs) == tuple(RUNGS[1:])
