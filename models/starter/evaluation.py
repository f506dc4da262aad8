"""Measures each model by itself: executors by operation, plans by family, the verifier on real errors."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from models.starter.formats import claim, final_answer
from models.starter.measures import calibration_error, share
from models.starter.orchestration import THRESHOLD, Team, read_plan
from models.starter.problems.operations import TEXT_VERBS, evaluate, is_math
from models.starter.problems.problem import FAMILIES, draw_problem
from models.starter.problems.sampling import MATH_OPERATORS, draw_operation
from models.starter.problems.splits import Split
from models.starter.problems.wordings import Wording
from models.starter.sampling import Sampler

Figures = dict[str, object]


def operations(skill: str, split: Split, per_kind: int, seed: int) -> dict[str, list[str]]:
    """Different operations of each kind."""
    rng = random.Random(f"{skill}/{split}/{seed}")
    kinds = MATH_OPERATORS if skill == "math" else TEXT_VERBS
    return {k: list(dict.fromkeys(draw_operation(rng, skill, split, k) for _ in range(per_kind))) for k in kinds}


def executor_figures(sampler: Sampler, skill: str, per_kind: int = 500) -> Figures:
    """The share of right results for each kind of operation, greedy, on test operations."""
    by_kind: dict[str, float] = {}
    hits: list[bool] = []
    for kind, dos in operations(skill, "test", per_kind, 1).items():
        right = [final_answer(c.text) == evaluate(do) for do, c in zip(dos, sampler.answer(dos), strict=True)]
        by_kind[kind] = share(right)
        hits += right
    return {"all": share(hits), "operations": len(hits), "by_kind": by_kind}


def planner_figures(sampler: Sampler, per_cell: int = 40) -> Figures:
    """The share of plans that are exact, and of plans that lead to the right answer, by wording and family."""
    found: Figures = {}
    for wording in ("seen", "unseen"):
        found[wording] = plans_of_wording(sampler, wording, per_cell)
    return found


def plans_of_wording(sampler: Sampler, wording: Wording, per_cell: int) -> Figures:
    """The figures of one kind of wording; each cell is a family and a number of steps."""
    rng = random.Random(f"plans/{wording}")
    exact: Mapping[str, list[bool]] = defaultdict(list)
    exact_by_steps: Mapping[str, list[bool]] = defaultdict(list)
    problems = [
        draw_problem(rng, "test", wording, steps, name)
        for name, family in FAMILIES.items()
        for steps in family.steps
        for _ in range(per_cell)
    ]
    for problem, completion in zip(problems, sampler.answer([p.question for p in problems]), strict=True):
        wanted = [{"id": s.id, "skill": s.skill, "do": s.do} for s in problem.plan]
        right = read_plan(completion.text) == wanted
        exact[problem.family].append(right)
        exact_by_steps[str(len(problem.plan))].append(right)
    everything = [hit for hits in exact.values() for hit in hits]
    return {
        "all": share(everything),
        "plans": len(everything),
        "by_family": {name: share(hits) for name, hits in exact.items()},
        "by_steps": {steps: share(hits) for steps, hits in sorted(exact_by_steps.items())},
    }


def own_results(team: Team, split: Split, per_kind: int, temperature: float, seed: int) -> list[tuple[str, str]]:
    """Operations with the results that the executors gave."""
    found = []
    for skill in ("math", "text"):
        dos = [do for kind in operations(skill, split, per_kind, seed).values() for do in kind]
        completions = team.executor(skill).answer(dos, temperature, seed)
        found += [(do, final_answer(c.text)) for do, c in zip(dos, completions, strict=True)]
    return found


def verdict_figures(verifier: Sampler, claims: Sequence[tuple[str, str]]) -> Figures:
    """Recall on wrong results, false alarms on right ones, calibration; also by skill."""
    completions = verifier.answer([claim(do, result) for do, result in claims])
    scores = [c.pass_probability for c in completions]
    right = [evaluate(do) == result for do, result in claims]
    found: Figures = {"calibration_error": calibration_error(scores, right), "claims": len(claims)}
    for label, wanted in (("all", None), ("math", True), ("text", False)):
        rows = [i for i, (do, _) in enumerate(claims) if wanted is None or is_math(do) == wanted]
        caught = [scores[i] < THRESHOLD for i in rows if not right[i]]
        alarms = [scores[i] < THRESHOLD for i in rows if right[i]]
        found[label] = {
            "wrong": len(caught),
            "right": len(alarms),
            "recall": share(caught),
            "false_alarms": share(alarms),
        }
    return found


def verifier_figures(team: Team, per_kind: int = 500) -> Figures:
    """On the executors' own results, greedy and sampled at temperature 1, on test operations."""
    greedy = own_results(team, "test", per_kind, 0.0, 2)
    sampled = own_results(team, "test", per_kind, 1.0, 3)
    return {"greedy": verdict_figures(team.verifier, greedy), "sampled": verdict_figures(team.verifier, sampled)}
