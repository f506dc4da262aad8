"""The held-out starter suite: problems that no starter model saw in training."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

SUITE = Path(__file__).parents[1] / "suites" / "starter.jsonl"
WITH_STEPS, WITHOUT = "with steps", "without steps"
_PART = """\
version: 1
name: {name}
items: {name}.jsonl
grader: {{type: exact, after: ";", normalise: false}}
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of the suite. `steps` is 0 for a question that needs no working; `wording` is seen or unseen."""

    id: str
    family: str
    steps: int
    wording: str
    question: str
    answer: str


def load(path: Path = SUITE) -> tuple[Problem, ...]:
    """All problems of the suite, in file order."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return tuple(
        Problem(row["id"], row["family"], row["steps"], row["wording"], row["question"], str(row["answer"]))
        for row in rows
    )


def spread(problems: Iterable[Problem], number: int) -> tuple[Problem, ...]:
    """The first `number` problems, taken in turn from each number of steps and kind of wording."""
    kinds: dict[tuple[int, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[problem.steps, problem.wording].append(problem)
    turns: Iterable[Sequence[Problem | None]] = zip_longest(*(kinds[kind] for kind in sorted(kinds)))
    return tuple(problem for problem in chain.from_iterable(turns) if problem is not None)[:number]


def write_part(name: str, source: Path, tasks: int, directory: Path) -> Path:
    """So many tasks of a suite, spread, as a suite of its own for `appliance eval run`; its YAML file.

    Its classes are tasks with and without steps: with one class for each number of steps, as the whole suite has them,
    no part of it could show that a class is at most 2 points worse.
    """
    rows = [
        {"id": p.id, "class": WITH_STEPS if p.steps else WITHOUT, "question": p.question, "answer": p.answer}
        for p in spread(load(source), tasks)
    ]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = directory / f"{name}.yaml"
    made.write_text(_PART.format(name=name), encoding="utf-8")
    return made
