"""A head at work: its choice among what can be had, in shadow, and drift that ends its choosing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from appliance.errors import ConfigError
from appliance.learning.chooser import LearnedChooser
from appliance.learning.drift import LEAST_REQUESTS, DriftWatch
from appliance.learning.examples import Example, Examples, Outcome, usual_worth
from appliance.learning.features import COUNTS, HASHED, SIZE, features
from appliance.learning.head import Card, Head
from appliance.learning.train import train
from tests.learning.pool import ARMS, examples

TRAINING = examples(300, seed=1)
HEAD = train(TRAINING, usual_worth(TRAINING), seed=0, generations=0).head
EASY, HARD = (next(i.text for i in TRAINING.items if i.task_class == kind) for kind in ("words", "steps"))
STRATEGIES = ("direct", "plan_execute_verify", "cascade")


def card(**changes: object) -> Card:
    facts = {
        "version": 1,
        "features": 1,
        "arms": ARMS,
        "pool": "p",
        "pool_models": ("m",),
        "training_digest": "d",
        "training_tasks": 300,
        "gpu_second_worth": 0.05,
        "seed": 0,
        "made_unix_s": 1.0,
        "feature_mean": tuple(map(float, HEAD.mean[HASHED:])),
        "feature_scale": tuple(map(float, HEAD.scale[HASHED:])),
    }
    return Card(**{**facts, **changes})  # type: ignore[arg-type]  # any field


def chooser(*, shadow: bool = False) -> tuple[LearnedChooser, list[str]]:
    told: list[str] = []
    return LearnedChooser("abc", HEAD, card(), shadow, told.append), told


def test_it_chooses_and_says_why() -> None:
    made, _ = chooser()
    easy, hard = made.choose(EASY, STRATEGIES), made.choose(HARD, STRATEGIES)
    assert easy is not None
    assert hard is not None
    assert (easy.strategy, hard.strategy) == ("direct", "plan_execute_verify")
    assert hard.reason.startswith("learned head abc: plan_execute_verify is ahead by")
    assert EASY not in easy.reason


def test_it_chooses_among_what_can_be_had_only() -> None:
    made, _ = chooser()
    found = made.choose(HARD, ("direct",))
    assert found is not None
    assert found.strategy == "direct"
    assert made.choose(HARD, ("cascade",)) is None


def test_other_requests_turn_it_off_once_and_say_so() -> None:
    made, told = chooser()
    prose = "Dear all,\n" + "please find the notes of our meeting below.\n" * 40
    choices = [made.choose(prose, STRATEGIES) for _ in range(LEAST_REQUESTS + 50)]
    assert choices[0] is not None
    assert choices[-1] is None
    assert len(told) == 1
    assert "requests are not like those of the training" in told[0]


def test_requests_like_those_of_the_training_do_not() -> None:
    made, told = chooser()
    assert all(made.choose(item.text, STRATEGIES) for item in examples(1_000, seed=5).items)
    assert told == []


def test_what_is_only_asked_about_is_no_drift() -> None:
    made, told = chooser()
    for _ in range(LEAST_REQUESTS * 2):
        made.choose("x\n" * 500, STRATEGIES, live=False)
    assert told == []


def test_answers_that_fail_turn_it_off() -> None:
    made, told = chooser()
    for number in range(LEAST_REQUESTS):
        made.ended(well=number % 3 != 0)
    assert "failed or fell back" in told[0]


def test_in_shadow_nothing_is_told() -> None:
    made, told = chooser(shadow=True)
    found = made.choose(EASY, STRATEGIES)
    assert found is not None
    assert found.shadow
    for _ in range(LEAST_REQUESTS):
        made.ended(well=False)
    assert told == []
    assert made.off


def test_drift_needs_enough_requests() -> None:
    watch = DriftWatch(np.zeros(len(COUNTS)), np.ones(len(COUNTS)))
    for _ in range(LEAST_REQUESTS - 1):
        watch.seen(features("word " * 500))
    assert watch.reason() == ""
    watch.seen(features("word " * 500))
    assert "length" in watch.reason()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bias": np.array([np.nan, 0], dtype=np.float32)}, "bias holds a number that is none"),
        ({"weights": np.zeros((2, 3), dtype=np.float32)}, "weights has the shape"),
        ({"arms": ("a", "a")}, "each once"),
        ({"scale": np.zeros(SIZE, dtype=np.float32)}, "not above 0"),
    ],
)
def test_a_head_that_cant_be_one(change: dict[str, object], said: str) -> None:
    facts = {"arms": ARMS, "weights": HEAD.weights, "bias": HEAD.bias, "mean": HEAD.mean, "scale": HEAD.scale}
    with pytest.raises(ValueError, match=said):
        Head(**{**facts, **change})  # type: ignore[arg-type]  # any field


def test_an_explanation_adds_up_to_the_lead() -> None:
    vector = features(HARD)
    found = HEAD.choose(vector)
    assert found is not None
    parts = HEAD.explanation(vector, ARMS[1], ARMS[0])
    assert sum(part for _, part in parts) == pytest.approx(found.lead, abs=1e-4)


def test_a_head_may_see_what_the_words_do_not_tell() -> None:
    """Prompts of the same words; the embedding alone says which of them are hard."""
    rng = np.random.default_rng(3)
    items = []
    for number in range(200):
        hard = bool(rng.random() < 0.5)
        outcomes = {ARMS[0]: Outcome(float(not hard), 1.0), ARMS[1]: Outcome(1.0, 4.0)}
        meant = (1.0 if hard else -1.0, *(float(x) for x in rng.normal(0, 0.3, size=15)))
        items.append(Example(str(number), "all", "What is meant?", outcomes, meant))
    blind = Examples(ARMS, tuple(replace(item, embedding=()) for item in items))
    seeing = Examples(ARMS, tuple(items))
    worth = usual_worth(seeing)
    assert train(blind, worth, seed=0, generations=0).evidence <= 0
    trained = train(seeing, worth, seed=0, generations=0)
    assert trained.evidence > 0
    assert trained.head.embedding_size == 16
    made = LearnedChooser("abc", trained.head, card(embedder="embedder"), shadow=False)
    chosen = made.choose("What is meant?", STRATEGIES, items[0].embedding)
    assert chosen is not None
    right = "direct" if items[0].outcomes[ARMS[0]].quality else "plan_execute_verify"
    assert chosen.strategy == right
    assert made.choose("What is meant?", STRATEGIES) is None, "it was not trained to choose without"
    parts = dict(trained.head.explanation(features("What is meant?", items[0].embedding), *ARMS))
    assert (parts["embedding"] > 0) is (right == "direct")


def test_embeddings_of_different_lengths_are_refused() -> None:
    outcomes = dict.fromkeys(ARMS, Outcome(1.0, 1.0))
    items = tuple(Example(str(n), "all", "x", outcomes, (1.0,) * n) for n in (2, 3))
    with pytest.raises(ConfigError, match="task 3: its embedding"):
        Examples(ARMS, items)
