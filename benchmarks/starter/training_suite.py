"""Makes the suite that the starter pool's router is trained on: none of it stands in the held-out suite, nor nearly.

Its problems are drawn like those of the held-out suite, with another seed: no starter model saw their operations in
training, and half of the wordings neither. Questions without any step are those of the held-out suite in other words.

    python -m benchmarks.starter.training_suite      # writes benchmarks/suites/starter-training.jsonl anew
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from appliance.evaluation.leakage import leaks
from appliance.evaluation.suite import Task
from benchmarks.starter.suite import SUITE, load
from models.starter.problems.direct import PROMPTS
from models.starter.problems.problem import Problem
from models.starter.problems.wordings import expand
from models.starter.suite import STEPS, WORDINGS, draw_evenly

TRAINING = SUITE.with_name("starter-training.jsonl")
SEED = 20_262
PER_KIND = 120
"""Problems of each number of steps in each kind of wording."""


def make(held_out: Sequence[str], seed: int = SEED) -> Iterator[dict[str, Any]]:
    """The rows of the suite, the same for the same seed; the kinds in turn, so that any first part has all of them."""
    rng = random.Random(seed)
    kinds = [_unlike(list(_direct(rng)), held_out)]
    for steps in STEPS:
        for wording in WORDINGS:
            drawn = draw_evenly(rng, steps, wording, PER_KIND + PER_KIND // 4)
            kinds.append(_unlike([_row(steps, problem) for problem in drawn], held_out)[:PER_KIND])
    in_turn = (row for turn in zip_longest(*kinds) for row in turn if row is not None)
    for number, row in enumerate(in_turn):
        yield {"id": f"training-{row['steps']}-{number:04d}", **row}


def _row(steps: int, problem: Problem) -> dict[str, Any]:
    about = {"class": f"steps-{steps}", "steps": steps, "wording": problem.wording, "family": problem.family}
    return {**about, "question": problem.question, "answer": problem.answer}


def _direct(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Every wording of every prompt without a step, in any order."""
    found: dict[str, dict[str, Any]] = {}
    for group, thing, answer in PROMPTS:
        for wording, patterns in zip(WORDINGS, group, strict=True):
            for text in (expand(pattern, rng).format_map({"x": thing}) for pattern in patterns):
                about = {"class": "direct", "steps": 0, "wording": wording, "family": "direct"}
                found.setdefault(text, {**about, "question": text, "answer": answer})
    rows = list(found.values())
    rng.shuffle(rows)
    yield from rows


def _unlike(rows: list[dict[str, Any]], held_out: Sequence[str]) -> list[dict[str, Any]]:
    """Those that repeat no held-out question."""
    leaked = {leak.task_id for leak in leaks(_tasks([row["question"] for row in rows]), _tasks(held_out))}
    return [row for number, row in enumerate(rows) if str(number) not in leaked]


def _tasks(questions: Sequence[str]) -> list[Task]:
    return [Task(str(n), "", (({"role": "user", "content": text},),)) for n, text in enumerate(questions)]


def write(path: Path = TRAINING) -> None:
    """One row a line."""
    rows = make([problem.question for problem in load()])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    write()
