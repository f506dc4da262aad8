import random
from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np
import pytest

from appliance.capacity.alone import Sent, Times, alone
from appliance.capacity.design import Load, loads
from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.fitting import Observation, fit, non_negative
from appliance.capacity.profiling import APART_S
from appliance.capacity.prompts import PROBES, letters, tokens_of
from appliance.errors import ConfigError
from tests.capacity.profiles import STEP, engine

SMALL = engine(
    call_s=0.004,
    max_num_seqs=16,
    kv_tokens=20_000,
    block_size=128,
    max_num_batched_tokens=1024,
    max_model_len=768,
)


def observed(chosen: Sequence[Load], noise: float, wild: float = 0.0, true: EngineProfile = SMALL) -> list[Observation]:
    draw, found = random.Random(1), []
    for load in chosen:
        sent = tuple(Sent(APART_S * n, load.prompt_tokens, load.completion_tokens) for n in range(load.at_once))
        factor = 3.0 if draw.random() < wild else 1.0
        times = tuple(
            Times(each.first_s * factor * draw.gauss(1, noise), each.whole_s * factor * draw.gauss(1, noise))
            for each in alone(true, sent)
        )
        found.append(Observation(sent, times))
    return found


def test_costs_that_times_were_made_with_are_found_again() -> None:
    found = fit(SMALL, observed(loads(SMALL, 28), 0.0))

    assert astuple(found.step)[:5] == pytest.approx(astuple(STEP)[:5], rel=0.01)
    assert found.call_s == pytest.approx(0.004, rel=0.01)
    assert found.step.band < 0.001


def test_what_the_server_does_one_call_after_the_other_is_told_from_what_each_call_waits() -> None:
    true = replace(SMALL, call_s=0.002, server_s=0.003)

    found = fit(SMALL, observed(loads(SMALL, 28), 0.01, true=true))

    assert found.server_s == pytest.approx(0.003, rel=0.1)
    assert found.call_s == pytest.approx(0.002, rel=0.15)
    assert found.step.fixed_s == pytest.approx(STEP.fixed_s, rel=0.05)


def test_a_few_times_that_are_far_off_change_little() -> None:
    found = fit(SMALL, observed(loads(SMALL, 28) * 3, 0.02, wild=0.1))

    assert found.step.fixed_s == pytest.approx(STEP.fixed_s, rel=0.1)
    assert found.step.decode_sequence_s == pytest.approx(STEP.decode_sequence_s, rel=0.15)
    assert found.call_s == pytest.approx(0.004, rel=0.15)
    assert 0.005 < found.step.band < 2.5


def test_too_few_loads_are_refused() -> None:
    with pytest.raises(ConfigError, match="small: 3 loads are too few"):
        fit(SMALL, observed(loads(SMALL, 3), 0.0))


def test_the_least_squares_over_non_negative_values() -> None:
    draw = np.random.default_rng(1)
    for _ in range(30):
        rows, wanted = draw.normal(size=(20, 5)), draw.normal(size=20)

        found = non_negative(rows, wanted)

        slope = rows.T @ (wanted - rows @ found)
        assert (found >= 0).all()
        assert slope.max() < 1e-8  # no value that is 0 should grow,
        assert np.abs(slope[found > 0]).max(initial=0.0) < 1e-8  # and none above it should move


def test_loads_differ_and_fit_the_engine() -> None:
    chosen = loads(SMALL, 28)

    assert len(set(chosen)) == 28
    assert {load.at_once for load in chosen} >= {1, 16}
    assert {load.completion_tokens for load in chosen} >= {1, 192}
    assert all(load.prompt_tokens + load.completion_tokens <= 768 for load in chosen)
    assert loads(engine(max_model_len=16, kv_tokens=16), 10)  # the smallest engine has one at least


def test_few_designed_loads_tell_more_than_as_many_of_a_grid() -> None:
    grid = [Load(prompt, answer, many) for prompt in (16, 64) for answer in (16, 48) for many in (1, 4)]

    designed = fit(SMALL, observed(loads(SMALL, 8), 0.03))
    from_grid = fit(SMALL, observed(grid, 0.03))

    def off(step: object) -> float:
        return sum(abs(a / b - 1) for a, b in zip(astuple(step)[:4], astuple(STEP)[:4], strict=True))  # type: ignore[call-overload]  # all of its fields are numbers

    assert off(designed.step) < off(from_grid.step)


def test_prompts_are_as_long_as_wanted_and_never_the_same() -> None:
    tokens = tokens_of((PROBES[0] * 2 + 7, PROBES[1] * 2 + 7))

    assert tokens.letters_for(107) == 50
    assert tokens.letters_for(1) == 1
    assert letters(50, 1) == letters(50, 1) != letters(50, 2)
    assert len(letters(50, 1).split()) == 50
