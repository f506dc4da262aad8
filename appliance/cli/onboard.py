"""`appliance models onboard`: new weights are measured, calibrated and gated; a refusal leaves things as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from appliance.bootstrap.data_dir import write_whole
from appliance.bootstrap.learned_head import pool_digest
from appliance.bootstrap.measured_skills import keep_measured_skills, measured_skills_file
from appliance.bootstrap.options import coordinator_options
from appliance.bootstrap.pool import pool_models
from appliance.bootstrap.verifier_calibrations import verifier_calibrations_file
from appliance.cli import eval as evaluation
from appliance.cli import eval_run, router
from appliance.cli.connection import Connection, locate
from appliance.cli.door import RUNTIME_FAILURE, complain
from appliance.cli.options import ConfigOption, KeyFileOption, UrlOption, settings_of
from appliance.config import Settings
from appliance.coordinator.prompts import load_prompt_sets
from appliance.domain.model import Role
from appliance.domain.strategy import DIRECT, PLAN_EXECUTE, PLAN_EXECUTE_VERIFY
from appliance.errors import ConfigError
from appliance.evaluation.labelled_set import read_labelled
from appliance.evaluation.skills import MeasuredSkill, carried_out, steps_of

_ARMS = (DIRECT, PLAN_EXECUTE, PLAN_EXECUTE_VERIFY)


def onboard(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="The model of the pool whose weights are new.")],
    labelled_set: Annotated[
        Path, typer.Option("--set", help="JSONL: skill, instruction, result, right; see `appliance eval calibrate`.")
    ],
    suite: Annotated[Path, typer.Option(help="Suite to train the router's head on.")],
    held_out_suite: Annotated[Path, typer.Option(help="Suite that the gate judges the head on.")],
    strategies: Annotated[str, typer.Option(help="What the head chooses between, with commas.")] = ",".join(_ARMS),
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where the runs go. Default: var/onboarding/ID.")
    ] = None,
    target: Annotated[
        float, typer.Option("--target-false-accept", min=0.001, max=0.5, help="Most wrong results that may pass.")
    ] = 0.02,
    at_once: Annotated[int, typer.Option(min=1, max=256, help="Requests at the same time.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Decides every draw.")] = 0,
    generations: Annotated[int, typer.Option(min=0, max=10_000, help="Of the head's evolution.")] = 150,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Take new weights in: measure skills, calibrate verifiers, train a head on the pool as it is now, ask the gate.

    The appliance runs with the new weights already. Where the gate opens, the head is promoted, and everything counts
    from the next start on. Where it does not (exit code 1) skills and thresholds are as they were before, and the
    head stays a candidate. A command that was stopped goes on with its runs when it is given again.
    """
    settings = settings_of(config)
    connection = locate(config, url, key_file)
    _refuse_strangers(settings, connection, model_id)
    # Runs with other weights are other runs, so that none of them goes on with these.
    directory = directory or Path("var/onboarding") / f"{model_id}-{pool_digest(pool_models(settings))[:12]}"
    targets = ",".join(f"{settings.coordinator.virtual_model}:{name.strip()}" for name in strategies.split(","))
    data_dir = settings.data_dir
    with _as_before_unless_kept(measured_skills_file(data_dir), verifier_calibrations_file(data_dir)) as keep:
        _measure(settings, connection, model_id, labelled_set, at_once)
        if settings.roles.verifier:
            typer.echo("verifiers:")
            _ended_well(
                lambda: evaluation.calibrate(labelled_set, target, at_once, config=config, url=url, key_file=key_file)
            )
        for name, one in (("training", suite), ("held-out", held_out_suite)):
            typer.echo(f"{name}: {one}")
            eval_run.run(
                one, targets, out=directory / f"{name}.jsonl", seed=seed, at_once=at_once, config=config, url=url,
                key_file=key_file,
            )  # fmt: skip
        runs = directory / "training.jsonl", suite, directory / "held-out.jsonl", held_out_suite
        opened = _ended_well(
            lambda: router.train(*runs, seed=seed, generations=generations, config=config, url=url, key_file=key_file)
        )
        if opened:
            router.promote(config=config)
            keep()
    if not opened:
        complain(f"{model_id} is not taken in: skills and thresholds are as they were; the head stays a candidate")
        raise typer.Exit(RUNTIME_FAILURE)
    typer.echo(f"{model_id} is taken in: skills, thresholds and head count from the next start of the appliance on")


def _refuse_strangers(settings: Settings, connection: Connection, model_id: str) -> None:
    pool = [member.model for member in settings.pool]
    if model_id not in pool:
        known = ", ".join(pool)
        raise ConfigError(
            f"{model_id} is not in the pool of {settings.source} ({known}); add it there, with the roles that it is "
            "to play, start the appliance, and onboard it then"
        )
    served = {entry["id"] for entry in connection.get("/v1/models")["data"]}
    if model_id not in served:
        raise ConfigError(f"the appliance at {connection.url} does not serve {model_id}; start it anew with this pool")


def _measure(settings: Settings, connection: Connection, model_id: str, labelled_set: Path, at_once: int) -> None:
    """The skills that it is to carry out; nothing to measure where it is no executor."""
    skills = [skill for skill, models in settings.roles.executors.items() if model_id in models]
    steps = steps_of(read_labelled(labelled_set), skills)
    if missing := [skill for skill in skills if all(step.task.skill != skill for step in steps)]:
        raise ConfigError(f"{labelled_set}: has no right result of the skill {missing[0]}, which {model_id} is to have")
    if not steps:
        return
    model = pool_models(settings)[model_id]
    prompts = load_prompt_sets([model.prompt_set])[model.prompt_set]
    sampling = coordinator_options(settings).sampling_of(Role.EXECUTOR)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("steps", total=len(steps))
        found = carried_out(
            steps,
            model_id,
            prompts,
            sampling,
            lambda name, ask: evaluation.reading(connection, name, ask),
            at_once=at_once,
            done=lambda: progress.advance(bar),
        )
    for skill, share in found.items():
        before = f"{model.skills[skill]:.1%}" if skill in model.skills else "unknown"
        low, high = share.interval
        typer.echo(f"{model_id}, {skill}: {share.value:.1%} of {share.of} ({low:.1%}–{high:.1%}); before: {before}")
    made = [MeasuredSkill(model_id, model.revision, model.prompt_set, skill, share) for skill, share in found.items()]
    keep_measured_skills(measured_skills_file(settings.data_dir), made)


@contextmanager
def _as_before_unless_kept(*files: Path) -> Iterator[Callable[[], None]]:
    """The files are put back as they were, unless what is yielded was called: on refusal, error and interrupt alike."""
    before = {file: file.read_bytes() if file.exists() else None for file in files}
    kept = False

    def keep() -> None:
        nonlocal kept
        kept = True

    try:
        yield keep
    finally:
        for file, content in () if kept else before.items():
            if content is None:
                file.unlink(missing_ok=True)
            else:
                write_whole(file, content)


def _ended_well(verb: Callable[[], None]) -> bool:
    """Whether a verb did its job; it has said why where it did not."""
    try:
        verb()
    except typer.Exit as ended:
        return ended.exit_code == 0
    return True
