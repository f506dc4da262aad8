import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.capacity.batching import NEVER, Engine
from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.sequence import Sequence
from tests.capacity.profiles import engine
from tests.capacity.reference import Given, ends_of


def run(profile: EngineProfile, calls: list[Given]) -> tuple[list[float], Engine]:
    """The engine alone on its device: its time is the real one."""
    simulated, ends = Engine(profile), [0.0] * len(calls)
    coming = sorted(enumerate(calls), key=lambda each: each[1].at_s)
    while coming or simulated.next_s != NEVER:
        if coming and coming[0][1].at_s <= simulated.next_s:
            number, call = coming.pop(0)
            stops = (call.completion,) if number % 2 else tuple(sorted({1, call.completion // 2 or 1, call.completion}))
            simulated.submit(Sequence(number, call.prompt, stops, call.prefix, call.shared), call.at_s)
            continue
        now_s = simulated.next_s
        for sequence, tokens in simulated.work(now_s):
            if tokens == sequence.completion:
                assert isinstance(sequence.owner, int)
                ends[sequence.owner] = now_s
    return ends, simulated


def loads(seed: int, calls: int, span_s: float, longest: int, shared: int = 0) -> list[Given]:
    draw = random.Random(seed)
    return [
        Given(
            draw.uniform(0, span_s),
            shared + draw.randint(1, longest),
            draw.randint(1, longest),
            draw.choice("ab") if shared else "",
            shared,
        )
        for _ in range(calls)
    ]


@given(st.integers(0, 10**6), st.floats(0.01, 5), st.sampled_from([0.0, 0.003]), st.sampled_from([0.0, 0.01]))
@settings(max_examples=60, deadline=None)
def test_calls_end_when_they_end_step_by_step(seed: int, span_s: float, call_s: float, server_s: float) -> None:
    profile = engine(call_s=call_s, server_s=server_s)
    calls = loads(seed, 30, span_s, 60)

    ends, simulated = run(profile, calls)

    expected, _ = ends_of(profile, calls)
    assert ends == pytest.approx(expected, rel=1e-9)
    assert simulated.preemptions == 0


@given(st.integers(0, 10**6), st.integers(8, 30))
@settings(max_examples=60, deadline=None)
def test_so_they_do_where_blocks_run_out(seed: int, blocks: int) -> None:
    profile = engine(kv_tokens=16 * blocks, max_num_seqs=8, max_num_batched_tokens=50)
    calls = loads(seed, 20, 0.5, 60)

    ends, simulated = run(profile, calls)

    expected, preempted = ends_of(profile, calls)
    assert ends == pytest.approx(expected, rel=1e-9)
    assert simulated.preemptions == preempted


def test_blocks_do_run_out_in_such_a_load() -> None:
    assert run(engine(kv_tokens=16 * 8, max_num_seqs=8), loads(1, 20, 0.5, 60))[1].preemptions > 0


@given(st.integers(0, 10**6), st.sampled_from([64, 256]))
@settings(max_examples=40, deadline=None)
def test_so_they_do_with_prompts_that_begin_alike(seed: int, budget: int) -> None:
    profile = engine(kv_tokens=100_000, max_num_batched_tokens=budget)
    calls = loads(seed, 25, 0.5, 40, shared=70)

    ends, _ = run(profile, calls)

    assert ends == pytest.approx(ends_of(profile, calls)[0], rel=1e-9)
    assert sum(ends) < sum(run(engine(max_num_batched_tokens=budget, prefix_caching=False), calls)[0])


def test_of_a_prefix_that_nobody_uses_its_end_is_gone_when_blocks_were_needed() -> None:
    profile = engine(kv_tokens=16 * 20, max_num_seqs=1)
    first, again = Given(0.0, 161, 2, "a", 160), Given(10.0, 161, 2, "a", 160)
    other = Given(5.0, 200, 100)

    kept, _ = run(profile, [first, again])
    lost, _ = run(profile, [first, other, again])

    assert kept[1] - 10 < lost[2] - 10 < kept[0]  # one of its ten blocks is left


def test_a_row_of_decode_steps_is_one_event() -> None:
    simulated = Engine(engine())
    simulated.submit(Sequence(0, 50, (1000,)), 0.0)
    events = 0
    while simulated.next_s != NEVER:
        simulated.work(simulated.next_s)
        events += 1
    assert events == 3  # it comes, its prompt is computed, it ends


def test_what_is_on_an_engine_is_known() -> None:
    simulated = Engine(engine())
    sequences = [Sequence(n, 50, (1000,)) for n in range(3)]
    for sequence in sequences:
        simulated.submit(sequence, 0.0)
    simulated.work(simulated.next_s)
    late = Sequence(3, 50, (10,))
    simulated.submit(late, 1.0)

    assert simulated.busy
    assert simulated.sequences() == [*sequences, late]
    assert 0 < simulated.kv_used_share < 1
