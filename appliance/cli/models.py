"""`appliance models list|verify`: the catalog, and the weights on disk."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from appliance.catalog.loader import find, load_catalog, weights_bytes
from appliance.catalog.store import verify as verify_model
from appliance.cli.door import WRONG_INPUT, complain
from appliance.cli.options import ConfigOption, settings_of
from appliance.domain.model import Model
from appliance.errors import CatalogError

commands = typer.Typer(help="The catalog, and the weights on disk.", no_args_is_help=True)


@commands.command("list")
def list_(config: ConfigOption = None) -> None:
    """List the models of the catalog; those of the pool are marked."""
    settings = settings_of(config)
    pool = {member.model for member in settings.pool}
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "pool", "parameters", "size", "licence"):
        table.add_column(heading, header_style="dim", no_wrap=True)
    table.add_column("roles", header_style="dim")
    for model in load_catalog(settings.models.catalog).values():
        table.add_row(*_row(model, model.model_id in pool))
    Console().print(table)


@commands.command()
def verify(config: ConfigOption = None) -> None:
    """Check the weights of the pool against their manifests: all files there, whole, and the approved ones."""
    settings = settings_of(config)
    catalog, failed = load_catalog(settings.models.catalog), False
    for member in settings.pool:
        try:
            model = find(catalog, member.model)
            verify_model(model, settings.models.store / member.model)
        except CatalogError as error:
            complain(str(error))
            failed = True
        else:
            typer.echo(f"{member.model}: good, {len(model.files)} files, revision {model.revision}")
    if failed:
        raise typer.Exit(WRONG_INPUT)


def _row(model: Model, in_pool: bool) -> tuple[str, ...]:
    roles = ", ".join(sorted(role.value for role in model.roles))
    size = f"{weights_bytes(model) / 1e6:,.1f} MB" if model.files else "not stored"
    return (
        *(model.model_id, "✓" if in_pool else "", f"{model.parameters / 1e6:,.1f} M", size),
        *(model.licence, roles),
    )
