"""The command line."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from appliance.cli.verbs import Verbs

app = typer.Typer(
    cls=Verbs,
    help="On-prem orchestration of open-weight models: plan, execute, verify, answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_of("appliance"))
        raise typer.Exit


@app.callback()
def appliance(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version, and no more.")
    ] = False,
) -> None:
    """The option is all there is to do before the verb."""
