"""Examples as a pool could give them: short questions go well with one call, those with steps need the team."""

from __future__ import annotations

import random

from appliance.learning.examples import Example, Examples, Outcome

ARMS = ("auto:direct", "auto:plan_execute_verify")
_NAMES = ("Anna", "Ben", "Zoe", "Leo", "Mia", "Tom")
_THINGS = ("apples", "stones", "books", "cards", "coins")


def examples(count: int, seed: int, *, shuffled: bool = False) -> Examples:
    """`shuffled`: outcomes have nothing to do with prompts."""
    rng = random.Random(seed)
    made = [_example(rng, number) for number in range(count)]
    outcomes = [item.outcomes for item in made]
    if shuffled:
        rng.shuffle(outcomes)
    items = (Example(m.task_id, m.task_class, m.text, o) for m, o in zip(made, outcomes, strict=True))
    return Examples(ARMS, tuple(items))


def _example(rng: random.Random, number: int) -> Example:
    hard = rng.random() < 0.5
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    if hard:
        steps = [
            f"then {rng.choice(('adds', 'sells', 'finds'))} {rng.randint(2, 99)}" for _ in range(rng.randint(2, 4))
        ]
        text = f"{name} has {rng.randint(10, 99)} {thing}, {', '.join(steps)}. How many {thing} are there?"
        direct, team = rng.random() < 0.5, rng.random() < 0.95
    else:
        first, second = ("".join(rng.choices("abcdefghij", k=8)) for _ in range(2))
        text = f"What is another word for {first}, {name}, where {second} is meant?"
        direct, team = rng.random() < 0.97, rng.random() < 0.4
    outcomes = {ARMS[0]: Outcome(float(direct), 0.5), ARMS[1]: Outcome(float(team), 2.0)}
    return Example(f"{number}", "steps" if hard else "words", text, outcomes)
