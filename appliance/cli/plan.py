"""`appliance plan`: what would lie on each GPU, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console

from appliance.bootstrap.planning import problem_of
from appliance.bootstrap.running_plan import load_plan, plan_json, require_running_plan
from appliance.cli.door import WRONG_INPUT, complain
from appliance.cli.options import ConfigOption, settings_of
from appliance.cli.plan_values import helm_values
from appliance.cli.plan_view import differences, picture
from appliance.config import Settings
from appliance.domain.placement import PlacementPlan, Unplaceable
from appliance.errors import ConfigError
from appliance.placement.problem import Problem

RUNNING = "running"
"""In place of a file after --diff: the plan of the appliance that runs on the configuration's data directory."""


def plan(
    config: ConfigOption = None,
    inventory: Annotated[
        Path | None, typer.Option("--inventory", "-i", help="Inventory (YAML). Default: the GPUs of this machine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    as_values: Annotated[bool, typer.Option("--helm-values", help="Print values for the Helm chart, as YAML.")] = False,
    why: Annotated[str | None, typer.Option("--why", metavar="MODEL", help="Explain one model's place.")] = None,
    diff: Annotated[
        Path | None,
        typer.Option(
            "--diff",
            metavar="FILE|running",
            help="Compare with a plan saved by --json, or with the one that runs, and move as little as possible.",
        ),
    ] = None,
) -> None:
    """Place the models of the pool on GPUs, and show what that yields. Nothing is started."""
    if sum((as_json, as_values, why is not None)) > 1:
        raise ConfigError("--json, --helm-values and --why exclude each other; give one of them")
    settings = settings_of(config)
    old = _earlier(diff, settings)
    problem = problem_of(settings, inventory, old)
    for line in (line for node in problem.nodes for line in node.left_out):
        typer.echo(f"left out: {line}", err=True)
    console = Console()
    if why is not None:
        _explain(problem, why, settings.source, console)
        return
    from appliance.placement.solver import solve  # OR-tools takes half a second to load, which other verbs need not pay

    answer = solve(problem)
    if isinstance(answer, Unplaceable):
        _refuse(answer, as_json)
    elif as_json:
        typer.echo(plan_json(answer))
    elif as_values:
        typer.echo(yaml.safe_dump(helm_values(answer, settings), sort_keys=False), nl=False)
    else:
        picture(console, problem, answer)
        if old is not None:
            differences(console, old, answer)


def _earlier(diff: Path | None, settings: Settings) -> PlacementPlan | None:
    """What --diff names."""
    if diff is None:
        return None
    return require_running_plan(settings.data_dir) if str(diff) == RUNNING else load_plan(diff)


def _refuse(answer: Unplaceable, as_json: bool) -> None:
    """All reasons; exit code 2, as for any input that can't be followed."""
    if as_json:
        typer.echo(json.dumps({"unplaceable": list(answer.reasons)}, indent=2))
    complain("no placement:")
    for reason in answer.reasons:
        typer.echo(f"  - {reason}", err=True)
    raise typer.Exit(WRONG_INPUT)


def _explain(problem: Problem, model_id: str, source: str, console: Console) -> None:
    from appliance.placement.explain import explain

    names = [wanted.model_id for wanted in problem.models]
    if model_id not in names:
        raise ConfigError(f"{source}: pool: {model_id} is not in it; --why takes one of {', '.join(names)}")
    for line in explain(problem, model_id):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
