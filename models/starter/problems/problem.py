"""A whole problem: a question in plain English, the plan that solves it, and its answer."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from models.starter.problems.draft import Draft, Step
from models.starter.problems.operations import UnfitOperation, evaluate
from models.starter.problems.orders import price_list
from models.starter.problems.splits import Split
from models.starter.problems.spoken import code_chain, code_to_number, codes, number_instructions
from models.starter.problems.stories import event_chain, parallel, people
from models.starter.problems.story import Story
from models.starter.problems.wordings import Wording


@dataclass(frozen=True, slots=True)
class Problem:
    """What is asked, how it is solved, what is right."""

    family: str
    wording: Wording
    question: str
    plan: tuple[Step, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Family:
    """A way to make problems, the numbers of steps it can have, and how often it is drawn in training."""

    write: Callable[[Story, int], str]
    steps: tuple[int, ...]
    weight: float


FAMILIES = {
    "events": Family(event_chain, (1, 2, 3, 4, 5), 1.5),
    "people": Family(people, (1, 2, 3, 4, 5), 2.6),
    "prices": Family(price_list, (1, 2, 3, 4, 5), 1.9),
    "instructions": Family(number_instructions, (1, 2, 3, 4, 5), 0.7),
    "chains": Family(code_chain, (1, 2, 3, 4, 5), 0.8),
    "mixed": Family(code_to_number, (2, 3, 4, 5), 0.6),
    "codes": Family(codes, (2, 3, 4, 5), 0.7),
    "parallel": Family(parallel, (2, 3, 4, 5), 1.5),
}


def results_of(plan: tuple[Step, ...] | list[Step]) -> dict[str, str]:
    """The result of each step."""
    results: dict[str, str] = {}
    for step in plan:
        do = step.do
        for name in sorted(results, reverse=True):
            do = do.replace(f"${name}", results[name])
        results[step.id] = evaluate(do)
    return results


def draw_problem(
    rng: random.Random, split: Split, wording: Wording, steps: int | None = None, family: str | None = None
) -> Problem:
    """A problem of one part of the data; family and number of steps are drawn where not given."""
    chosen_steps = steps or rng.choice(FAMILIES[family].steps if family else (1, 2, 3, 3, 4, 4, 5, 5))
    fitting = [name for name, f in FAMILIES.items() if chosen_steps in f.steps]
    chosen = family or rng.choices(fitting, [FAMILIES[name].weight for name in fitting])[0]
    while True:
        story = Story(rng, wording, Draft(rng, split))
        try:
            question = FAMILIES[chosen].write(story, chosen_steps)
        except UnfitOperation:
            continue
        if len(story.draft.steps) != chosen_steps:
            continue
        plan = tuple(story.draft.steps)
        return Problem(chosen, wording, question, plan, results_of(plan)[plan[-1].id])
