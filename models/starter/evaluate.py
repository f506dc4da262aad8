"""Writes evaluation.json: what the committed weights reach on held-out data, in parts that may run side by side."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from models.starter.comparison import Row, compare, direct_figures, ways_of_generalist, ways_of_team
from models.starter.evaluation import executor_figures, planner_figures, verifier_figures
from models.starter.orchestration import Team
from models.starter.repair_study import repair_study
from models.starter.roster import EVALUATION, RUNS, weights_folder
from models.starter.sampling import Sampler

Report = Callable[[str], None]


def load_team() -> Team:
    """The four specialists as committed."""
    return Team(*(Sampler(weights_folder(name)) for name in ("planner", "math", "text", "verifier")))


def evaluate_steps(report: Report) -> dict[str, Any]:
    """Executors, verifier and repair on single operations and right plans."""
    team = load_team()
    measures: dict[str, Callable[[], object]] = {
        "math": lambda: executor_figures(team.math, "math"),
        "text": lambda: executor_figures(team.text, "text"),
        "verifier": lambda: verifier_figures(team),
        "repair_study": lambda: repair_study(team),
    }
    found: dict[str, Any] = {}
    for name, measure in measures.items():
        found[name] = measure()
        report(f"{name}: {found[name]}")
    return found


def evaluate_team(report: Report) -> dict[str, Any]:
    """The planner by itself, and the team on the suite."""
    team = load_team()
    found: dict[str, Any] = {"ways": {name: asdict(row) for name, row in ways_of_team(team, report).items()}}
    found["planner"] = planner_figures(team.planner)
    report(f"planner: {found['planner']}")
    return found


def evaluate_generalist(report: Report) -> dict[str, Any]:
    """The generalist's ways to answer."""
    generalist = Sampler(weights_folder("generalist"))
    direct = direct_figures(generalist)
    return {
        "ways": {name: asdict(row) for name, row in ways_of_generalist(generalist, report).items()},
        "direct": direct,
    }


PARTS: dict[str, Callable[[Report], dict[str, Any]]] = {
    "steps": evaluate_steps,
    "team": evaluate_team,
    "generalist": evaluate_generalist,
}


def evaluate_part(part: str, threads: int = 1, report: Report = print) -> None:
    """Measures one part and keeps it for `merge`."""
    torch.set_num_threads(threads)
    found = PARTS[part](report)
    RUNS.mkdir(parents=True, exist_ok=True)
    (RUNS / f"evaluation-{part}.json").write_text(json.dumps(found))


def merge() -> None:
    """Writes evaluation.json from all parts."""
    parts = [json.loads((RUNS / f"evaluation-{part}.json").read_text()) for part in PARTS]
    ways = {name: Row(**row) for part in parts for name, row in part.pop("ways", {}).items()}
    found = {"suite": compare(ways)} | {key: value for part in parts for key, value in part.items()}
    EVALUATION.write_text(json.dumps(found, indent=2) + "\n")
