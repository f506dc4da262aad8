"""The held-out suite: problems whose every operation is unseen, half of them in unseen wordings, and direct prompts."""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from models.starter.problems.direct import PROMPTS
from models.starter.problems.problem import FAMILIES, Problem, draw_problem
from models.starter.problems.wordings import Wording, say

SEED = 20_240
PER_STEPS = 250
STEPS = (1, 2, 3, 4, 5)
WORDINGS: tuple[Wording, ...] = ("seen", "unseen")
SUITE = Path(__file__).parents[2] / "benchmarks" / "suites" / "starter.jsonl"


@dataclass(frozen=True, slots=True)
class Question:
    """One line of the suite."""

    id: str
    kind: str
    steps: int
    wording: Wording
    family: str
    question: str
    answer: str
    plan: tuple[dict[str, str], ...]

    def line(self) -> str:
        """As JSON; `kind` is written as `class`."""
        row = {("class" if key == "kind" else key): value for key, value in asdict(self).items()}
        return json.dumps(row)


def draw_evenly(rng: random.Random, steps: int, wording: Wording, count: int) -> list[Problem]:
    """Different problems, the families in turn."""
    fitting = [name for name, family in FAMILIES.items() if steps in family.steps]
    problems: dict[str, Problem] = {}
    while len(problems) < count:
        problem = draw_problem(rng, "test", wording, steps, fitting[len(problems) % len(fitting)])
        problems[problem.question] = problem
    return list(problems.values())


def make_suite(seed: int = SEED) -> list[Question]:
    """The whole suite, the same for the same seed."""
    rng = random.Random(seed)
    questions: list[Question] = []
    for steps in STEPS:
        for wording in WORDINGS:
            for problem in draw_evenly(rng, steps, wording, PER_STEPS // 2):
                plan = tuple({"id": s.id, "skill": s.skill, "do": s.do} for s in problem.plan)
                name = f"starter-{steps}-{len(questions):04d}"
                kind = f"steps-{steps}"
                questions.append(
                    Question(name, kind, steps, wording, problem.family, problem.question, problem.answer, plan)
                )
    for number, (group, thing, answer) in enumerate(PROMPTS):
        wording = WORDINGS[number % 2]
        text = say(group, wording, rng, {"x": thing})
        questions.append(Question(f"starter-direct-{number:04d}", "direct", 0, wording, "direct", text, answer, ()))
    return questions


def write_suite(path: Path = SUITE) -> None:
    """Writes one question per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(question.line() + "\n" for question in make_suite()))
