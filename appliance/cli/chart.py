"""`appliance chart …`: values of the Helm chart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from appliance.chart.defaults import values_yaml
from appliance.chart.schema import values_schema
from appliance.chart.settings_part import without_chart_keys
from appliance.chart.values import HelmValues
from appliance.config import describe, load
from appliance.config.yaml_file import read_mapping
from appliance.errors import ConfigError

commands = typer.Typer(help="Values of the Helm chart.", no_args_is_help=True)


@commands.command()
def check(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Values; later files win, and what none says is the default.")
    ],
) -> None:
    """Check values for the chart, with all that holds between them; `helm install` checks less of it."""
    whole: dict[str, Any] = HelmValues().model_dump(mode="json", by_alias=True)
    for file in files:
        whole = _merged(whole, _mapping(file))
    try:
        values = HelmValues.model_validate(whole)
    except ValidationError as error:
        raise ConfigError(f"{', '.join(map(str, files))}: {describe(error)}") from None
    pods = sum(pack.replicas for pack in values.packs)
    typer.echo(f"good; {values.gateway.replicas} gateways, {len(values.packs)} packs in {pods} pods")


@commands.command()
def config(file: Annotated[Path, typer.Argument(help="A configuration.")]) -> None:
    """Print a configuration as values: without what the chart says itself."""
    load(file)
    typer.echo(yaml.safe_dump({"config": without_chart_keys(_mapping(file))}, sort_keys=False), nl=False)


@commands.command()
def schema() -> None:
    """Print the JSON Schema of the values."""
    typer.echo(json.dumps(values_schema(), indent=2))


@commands.command()
def defaults() -> None:
    """Print all values with their defaults and meanings."""
    typer.echo(values_yaml(), nl=False)


def _mapping(file: Path) -> dict[str, Any]:
    return read_mapping(file, when_missing="name a file that is there", expected="a mapping at the top")


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """As Helm does it: mappings key by key, null takes a key away, all else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged
