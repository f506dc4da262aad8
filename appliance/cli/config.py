"""`appliance config check|schema|reference`: configuration files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from appliance.bootstrap.pool import pool_models
from appliance.bootstrap.strategies import load_strategies
from appliance.cli.config_reference import reference as reference_of
from appliance.config import ENVIRONMENT_OVERRIDES, json_schema, load

commands = typer.Typer(help="Configuration files.", no_args_is_help=True)


@commands.command()
def check(file: Annotated[Path, typer.Argument(help="The file to check.")]) -> None:
    """Check a configuration file and that its models are in the catalog; every problem is named with its key."""
    settings = load(file)
    pool_models(settings)
    load_strategies(settings)
    engines = sum(member.replicas for member in settings.pool)
    typer.echo(f"{file}: good; {len(settings.pool)} models, {engines} engines, data in {settings.data_dir}")


@commands.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file."""
    typer.echo(json.dumps(json_schema(), indent=2))


@commands.command()
def reference() -> None:
    """Print the reference of all keys as Markdown."""
    typer.echo(reference_of(json_schema(), ENVIRONMENT_OVERRIDES), nl=False)
