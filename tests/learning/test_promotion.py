"""The gate opens for what was learned, and stays shut for what was not."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.learning.examples import Example, Examples, Outcome, usual_worth
from appliance.learning.promotion import Answer, Ruling, ruling
from appliance.learning.train import Trained, train
from tests.learning.pool import ARMS, examples

HELD_OUT = examples(400, seed=99)
WORTH = usual_worth(HELD_OUT)


def gate(trained: Trained, training_tasks: int, held_out: Examples = HELD_OUT) -> Ruling:
    return ruling(trained.head, held_out, WORTH, training_tasks=training_tasks, evidence=trained.evidence)


def test_a_head_that_learned_is_promoted() -> None:
    trained = train(examples(400, seed=1), WORTH, seed=0, generations=3)
    found = gate(trained, 400)
    assert found.answer is Answer.PROMOTED, found.reasons
    assert found.reward >= 0.9 * found.oracle_reward - 0.05
    assert found.gpu_share < 0.75
    assert dict(found.shares)[ARMS[0]] == pytest.approx(0.5, abs=0.08)


def test_shuffled_labels_are_refused_a_hundred_times_of_a_hundred() -> None:
    few = examples(100, seed=98)
    answers = [
        gate(train(examples(100, seed, shuffled=True), WORTH, seed=seed, generations=0), 100, few)
        for seed in range(100)
    ]
    assert {found.answer for found in answers} == {Answer.REFUSED}
    assert all(found.reasons for found in answers)


def test_twenty_prompts_are_too_few() -> None:
    trained = train(examples(20, seed=1), WORTH, seed=0, generations=5)
    found = gate(trained, 20)
    assert found.answer is Answer.CANNOT_TELL
    assert "trained on 20 tasks" in found.reasons[0]


def test_a_small_held_out_set_tells_nothing() -> None:
    trained = train(examples(200, seed=1), WORTH, seed=0, generations=0)
    assert gate(trained, 200, examples(50, seed=2)).answer is Answer.CANNOT_TELL


def test_a_class_that_gets_worse_is_named() -> None:
    """Better on the whole, but one class loses: refused."""
    trained = train(examples(400, seed=1), WORTH, seed=0, generations=0)
    worse = tuple(
        Example(i.task_id, "words that need the team", i.text, {ARMS[0]: Outcome(0.0, 0.5), ARMS[1]: Outcome(1.0, 2.0)})
        if i.task_class == "words" and n % 4 == 0
        else i
        for n, i in enumerate(HELD_OUT.items)
    )
    found = gate(trained, 600, Examples(ARMS, worse))
    assert found.answer is Answer.REFUSED
    assert any("words that need the team" in reason for reason in found.reasons)


def test_training_is_the_same_for_the_same_seed() -> None:
    first, second = (train(examples(120, seed=3), WORTH, seed=5, generations=3).head for _ in range(2))
    assert (first.weights == second.weights).all()
    assert first.parameters < 12_000


def test_evolution_is_kept_only_where_it_helps_on_what_it_did_not_see() -> None:
    metrics = train(examples(300, seed=4), WORTH, seed=1, generations=10).metrics
    gains = metrics["out_of_fold_gain"]
    assert (metrics["kept"] == "sep-CMA-ES") == (gains["sep-CMA-ES"] > gains["ridge"])
    assert np.isfinite(list(gains.values())).all()


def test_without_evolution_nothing_is_said_of_it() -> None:
    metrics = train(examples(300, seed=4), WORTH, seed=1, generations=0).metrics
    assert metrics["kept"] == "ridge"
    assert metrics["out_of_fold_gain"]["sep-CMA-ES"] is None
