"""Which repair works best: measured on validation problems with the right plans, so that the suite stays unseen."""

import random
from collections.abc import Iterable

from models.starter.formats import plan_text
from models.starter.measures import share
from models.starter.orchestration import Repair, Team, orchestrate, read_plan
from models.starter.problems.problem import draw_problem
from models.starter.sampling import Completion

CANDIDATES = (
    None,
    Repair(1, 1.0),
    Repair(2, 1.0),
    Repair(2, 1.3),
    Repair(3, 1.0),
    Repair(2, 1.0, threshold=0.9),
)


def repair_study(
    team: Team, problems: int = 2_000, candidates: Iterable[Repair | None] = CANDIDATES
) -> dict[str, object]:
    """The share of right answers and the tokens per problem for each way to repair."""
    rng = random.Random("repair")
    drawn = [draw_problem(rng, "validation", "seen") for _ in range(problems)]
    texts = [plan_text(problem.plan) for problem in drawn]
    plans = [(Completion(text, 0, 0), read_plan(text)) for text in texts]
    found: dict[str, object] = {}
    for repair in candidates:
        runs = orchestrate(team, plans, repair)
        hits = [run.answer == problem.answer for run, problem in zip(runs, drawn, strict=True)]
        name = (
            f"{repair.samples} at temperature {repair.temperature}, threshold {repair.threshold}"
            if repair
            else "no verification"
        )
        found[name] = {"right": share(hits), "tokens": round(sum(r.tokens for r in runs) / problems, 1)}
    return found
