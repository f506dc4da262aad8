"""`appliance eval`: its verbs, and `calibrate`: what the verifiers' verdicts are worth, and their thresholds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from appliance.bootstrap.options import coordinator_options
from appliance.bootstrap.pool import pool_models
from appliance.bootstrap.verifier_calibrations import (
    keep_verifier_calibrations,
    revisions,
    verifier_calibrations_file,
)
from appliance.cli import eval_run
from appliance.cli.calibration_view import refusals, table
from appliance.cli.connection import Connection, locate
from appliance.cli.door import RUNTIME_FAILURE, complain
from appliance.cli.options import ConfigOption, KeyFileOption, UrlOption, settings_of
from appliance.coordinator.ask import Ask
from appliance.coordinator.prompts import load_prompt_sets
from appliance.domain.model import Role
from appliance.engines.chunks import logprobs_of
from appliance.errors import ConfigError, EngineUnavailable
from appliance.evaluation.calibration import Calibration, KeptCalibration, calibrations
from appliance.evaluation.labelled_set import read_labelled
from appliance.evaluation.verdicts import Reading, judged

commands = typer.Typer(help="How good answers are, on tasks of your own.", no_args_is_help=True)
commands.command("run")(eval_run.run)
commands.command("report")(eval_run.report)
commands.command("import")(eval_run.import_)
commands.command("leakage")(eval_run.leakage)

_PATH = "/v1/chat/completions"


@commands.command()
def calibrate(
    labelled_set: Annotated[
        Path, typer.Option("--set", help="JSONL: skill, instruction, result, right; inputs and question if any.")
    ],
    target: Annotated[
        float, typer.Option("--target-false-accept", min=0.001, max=0.5, help="Most wrong results that may pass.")
    ] = 0.02,
    at_once: Annotated[int, typer.Option(min=1, max=256, help="Verdicts asked for at the same time.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Measure the verifiers of the running appliance on labelled results, and keep their thresholds.

    They count from the appliance's next start on, for this revision of the model and this prompt only.
    """
    settings, labelled = settings_of(config), read_labelled(labelled_set)
    options = coordinator_options(settings)
    if not options.roles.verifier:
        raise ConfigError(f"{settings.source}: roles.verifier names no model; there is nothing to calibrate")
    models = pool_models(settings)
    sets = load_prompt_sets(model.prompt_set for model in models.values())
    prompt_sets = {model_id: sets[model.prompt_set] for model_id, model in models.items()}
    connection = locate(config, url, key_file)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        verifiers = {model_id: prompt_sets[model_id] for model_id in options.roles.verifier}
        count = sum(p.judges_skill(item.skill) for p in verifiers.values() for item in labelled)
        bar = progress.add_task("verdicts", total=count)
        verdicts = judged(
            labelled,
            verifiers,
            options.sampling_of(Role.VERIFIER),
            lambda model_id, ask: reading(connection, model_id, ask),
            at_once=at_once,
            done=lambda: progress.advance(bar),
        )
    made = calibrations(verdicts, options.verification.threshold, target)
    current = revisions(models, prompt_sets)
    file = verifier_calibrations_file(settings.data_dir)
    keep_verifier_calibrations(file, (KeptCalibration(c, *current[c.verifier]) for c in made if c.chosen is not None))
    _show(made, file, as_json=as_json)


def reading(connection: Connection, model_id: str, ask: Ask) -> Reading:
    """One call of a model by its name, through the public door."""
    body: dict[str, Any] = {"model": model_id, "messages": [dict(m) for m in ask.messages], **ask.params}
    if ask.max_tokens is not None:
        body["max_tokens"] = ask.max_tokens
    with connection.post(_PATH, body) as reply:
        document = json.load(reply.body)
    try:
        (choice,) = document["choices"]
        return Reading(choice["message"]["content"] or "", logprobs_of(choice["logprobs"]))
    except (KeyError, TypeError, ValueError):
        raise EngineUnavailable(f"{model_id} answered in a shape that is no chat completion") from None


def _show(made: tuple[Calibration, ...], file: Path, *, as_json: bool) -> None:
    """The figures; exit code 1 where no threshold could be found for any of them."""
    kept = [calibration for calibration in made if calibration.chosen is not None]
    if as_json:
        typer.echo(json.dumps([calibration.as_document() for calibration in made], indent=2))
    else:
        Console().print(table(made))
        for line in refusals(made):
            typer.echo(line)
    if not kept:
        complain("no threshold could be found; the verifiers stay uncalibrated")
        raise typer.Exit(RUNTIME_FAILURE)
    typer.echo(
        f"{len(kept)} of {len(made)} kept in {file}; they count from the next start of the appliance on", err=True
    )
