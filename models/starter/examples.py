"""Training examples of each model: a prompt and the answer to learn, drawn from the training part of the data."""

import json
import random
from functools import lru_cache
from pathlib import Path

from models.starter.checking import pairs, verifier_answer
from models.starter.formats import ANSWER_ONLY, chain_of_thought, claim, executor_answer, plan_text
from models.starter.problems.corruption import corrupt, scramble
from models.starter.problems.direct import draw_direct
from models.starter.problems.operations import evaluate, is_math
from models.starter.problems.problem import draw_problem
from models.starter.problems.sampling import LETTERS, draw_code, draw_operation
from models.starter.problems.splits import Split
from models.starter.problems.wordings import Wording

DIRECT_SHARE = 0.06
ANSWER_ONLY_SHARE = 0.10
COMPARING_SHARE = 0.08
OWN_ERRORS = Path(__file__).parent / "runs" / "own_errors.jsonl"


@lru_cache(maxsize=1)
def own_errors() -> tuple[tuple[str, str], ...]:
    """Wrong results that the executors themselves gave on training operations, once they were collected."""
    if not OWN_ERRORS.exists():
        return ()
    rows = map(json.loads, OWN_ERRORS.read_text().splitlines())
    return tuple((row["do"], row["result"]) for row in rows)


def comparing_example(rng: random.Random) -> tuple[str, str]:
    """Two strings side by side, half of the places different: practice in telling equal letters from others."""
    left = draw_code(rng, 4, 10)
    right = "".join(letter if rng.random() < 0.5 else rng.choice(left + LETTERS[:13] + LETTERS) for letter in left)
    return f"compare {left} {right}", pairs(left, right)


def verifier_example(rng: random.Random, split: Split) -> tuple[str, str]:
    """A right result, one corrupted on purpose, or an executor's own error."""
    if split == "train" and rng.random() < COMPARING_SHARE:
        return comparing_example(rng)
    errors = own_errors() if split == "train" else ()
    if errors and rng.random() < 0.15:
        do, result = rng.choice(errors)
        return claim(do, result), verifier_answer(do, result)
    if rng.random() < 0.5:
        do = draw_operation(rng, "math", split)
    else:
        do = draw_operation(rng, "text", split, "count" if rng.random() < 0.2 else None)
    result = evaluate(do)
    if rng.random() < 0.55:
        source = "" if is_math(do) else do.rsplit(" ", 1)[-1]
        result = (corrupt if rng.random() < 0.6 else scramble)(rng, result, source)
    return claim(do, result), verifier_answer(do, result)


def planner_example(rng: random.Random, split: Split, wording: Wording) -> tuple[str, str]:
    """A question and its plan."""
    problem = draw_problem(rng, split, wording)
    return problem.question, plan_text(problem.plan)


def generalist_example(rng: random.Random, split: Split, wording: Wording) -> tuple[str, str]:
    """A direct prompt, a question with a bare answer, or a question with a chain of thought."""
    kind = rng.random()
    if kind < DIRECT_SHARE:
        return draw_direct(rng, wording)
    problem = draw_problem(rng, split, wording)
    if kind < DIRECT_SHARE + ANSWER_ONLY_SHARE:
        return problem.question + ANSWER_ONLY, problem.answer
    return problem.question, chain_of_thought(problem.plan)


def executor_example(rng: random.Random, skill: str, split: Split) -> tuple[str, str]:
    """One operation and what the executor writes."""
    do = draw_operation(rng, skill, split)
    return do, executor_answer(do)


def draw_example(name: str, rng: random.Random, split: Split = "train", wording: Wording = "seen") -> tuple[str, str]:
    """An example for the model of that name."""
    if name == "planner":
        return planner_example(rng, split, wording)
    if name == "generalist":
        return generalist_example(rng, split, wording)
    if name == "verifier":
        return verifier_example(rng, split)
    return executor_example(rng, name, split)
