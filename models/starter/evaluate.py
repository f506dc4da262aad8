"""Writes evaluation.json: what the committed weights reach on held-out data."""

import json
from collections.abc import Callable

import torch

from models.starter.comparison import compare, direct_figures
from models.starter.evaluation import executor_figures, planner_figures, verifier_figures
from models.starter.orchestration import Team
from models.starter.roster import EVALUATION, weights_folder
from models.starter.sampling import Sampler


def load_team() -> Team:
    """The four specialists as committed."""
    return Team(*(Sampler(weights_folder(name)) for name in ("planner", "math", "text", "verifier")))


def evaluate_all(threads: int = 1, report: Callable[[str], None] = print) -> None:
    """Measures everything and writes the file."""
    torch.set_num_threads(threads)
    team, generalist = load_team(), Sampler(weights_folder("generalist"))
    found: dict[str, object] = {"suite": compare(team, generalist, report), "direct": direct_figures(generalist)}
    for skill in ("math", "text"):
        found[skill] = executor_figures(team.executor(skill), skill)
        report(f"{skill}: {found[skill]}")
    found["verifier"] = verifier_figures(team)
    report(f"verifier: {found['verifier']}")
    found["planner"] = planner_figures(team.planner)
    report(f"planner: {found['planner']}")
    EVALUATION.write_text(json.dumps(found, indent=2) + "\n")
