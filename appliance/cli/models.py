"""`appliance models list|show|verify|add|onboard`: the catalog, and the weights on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from appliance.bootstrap.measured_skills import with_measured_skills
from appliance.bootstrap.planning import with_geometry
from appliance.catalog.draft import draft, id_of, publish, refuse_taken
from appliance.catalog.loader import find, load_catalog
from appliance.catalog.manifest import model_files
from appliance.catalog.store import problems
from appliance.cli import onboard
from appliance.cli.byte_bar import byte_bar
from appliance.cli.door import WRONG_INPUT, complain
from appliance.cli.model_facts import facts, summary
from appliance.cli.model_view import listing, show
from appliance.cli.options import ConfigOption, JsonOption, settings_of
from appliance.config import Settings
from appliance.domain.model import Role
from appliance.errors import ConfigError

commands = typer.Typer(help="The catalog, and the weights on disk.", no_args_is_help=True)
commands.command("onboard")(onboard.onboard)


@commands.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the models of the catalog; those of the pool are marked."""
    settings = settings_of(config)
    pool = {member.model for member in settings.pool}
    rows = [summary(model, model.model_id in pool) for model in load_catalog(settings.models.catalog).values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        Console().print(listing(rows))


@commands.command("show")
def show_(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a model of the catalog.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all of a model: manifest, shape, bytes of its weights and of its KV cache."""
    settings = settings_of(config)
    model = find(load_catalog(settings.models.catalog), model_id)
    model = with_measured_skills({model_id: model}, settings.data_dir)[model_id]
    model = with_geometry(model, settings.models.store / model_id)
    document = facts(model)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        show(Console(), model, document["memory"])


@commands.command()
def verify(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]…", help="Models of the catalog. Default: those of the pool.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Check weights against their manifests: all files there, whole, harmless, and the approved ones."""
    settings = settings_of(config)
    catalog = load_catalog(settings.models.catalog)
    failed = False
    for model_id in models or [member.model for member in settings.pool]:
        model = find(catalog, model_id)
        total = sum(file.size_bytes for file in model.files)
        with byte_bar(model_id, total) as report:
            found = problems(model, settings.models.store / model_id, progress=report)
        for problem in found:
            complain(problem)
        if found:
            failed = True
        else:
            typer.echo(f"{model_id}: good, {len(model.files)} files, revision {model.revision}")
    if failed:
        raise typer.Exit(WRONG_INPUT)


@commands.command()
def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Directory with config.json and *.safetensors.")],
    config: ConfigOption = None,
    model_id: Annotated[str, typer.Option("--id", help="Id. Default: from the name of the directory.")] = "",
    licence: Annotated[str, typer.Option("--licence", help="SPDX identifier. Default: as the model card says.")] = "",
    publisher: Annotated[str, typer.Option("--publisher", help="Who published the weights.")] = "",
    country: Annotated[str, typer.Option("--country", help="Where the publisher is at home.")] = "",
    repository: Annotated[str, typer.Option("--repository", help="Hugging Face repository.")] = "",
    family: Annotated[str, typer.Option("--family", help="Models of one family share their mistakes.")] = "",
    role: Annotated[list[Role] | None, typer.Option("--role", help="A role that it may play; more than once.")] = None,
) -> None:
    """Write a manifest for a model on this machine. Its files are read, not copied, and no code of it is run."""
    settings = settings_of(config)
    known = {"licence": licence, "publisher": publisher, "country": country, "repository": repository, "family": family}
    said: dict[str, Any] = {**known, "id": model_id or id_of(path), "roles": [one.value for one in role or ()]}
    catalog = settings.models.catalog
    if not catalog.is_dir():
        raise ConfigError(f"{settings.source}: models.catalog: {catalog} is no directory; make it or name another")
    refuse_taken(catalog, said["id"])
    total = sum(file.stat().st_size for file in model_files(path) if file.is_file())
    with byte_bar(said["id"], total) as report:
        written = draft(path, said, report)
    file = publish(written.text, catalog, written.model.model_id)
    typer.echo(f"{file}: {written.model.parameters:,} parameters, {len(written.model.files)} files")
    for line in _left_to_do(settings, path, said, written.model.derived):
        typer.echo(line)


def _left_to_do(settings: Settings, path: Path, said: dict[str, Any], derived: tuple[str, ...]) -> Iterator[str]:
    if derived:
        yield f"read by nobody yet, correct them there: {', '.join(derived)}"
    home = settings.models.store / said["id"]
    if path.resolve() != home.resolve():
        yield f"engines look for it in {home}; put the files there, then run `appliance models verify {said['id']}`"
