"""The command line."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from appliance.cli import (
    ask,
    audit,
    bench,
    bundle,
    chart,
    config,
    engines,
    keys,
    models,
    plan,
    policy,
    router,
    serve,
    status,
    tenants,
    trace,
    up,
    usage,
    worker,
)
from appliance.cli import eval as evaluation
from appliance.cli.doctor import doctor
from appliance.cli.door import DoorGroup
from appliance.cli.verbs import Verbs

app = typer.Typer(
    cls=Verbs,
    help="On-prem orchestration of open-weight models: plan, execute, verify, answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up.up)
app.command()(serve.serve)
app.command()(engines.engines)
app.command(hidden=True)(worker.worker)
app.command()(ask.ask)
app.command()(status.status)
app.command()(plan.plan)
app.command()(usage.usage)
app.command()(doctor)
app.add_typer(trace.commands, name="trace")
app.add_typer(audit.commands, name="audit")
app.add_typer(config.commands, name="config")
app.add_typer(models.commands, name="models")
app.add_typer(bundle.commands, name="bundle")
app.add_typer(tenants.commands, name="tenants")
app.add_typer(keys.commands, name="keys")
app.add_typer(policy.commands, name="policy")
app.add_typer(chart.commands, name="chart")
app.add_typer(evaluation.commands, name="eval")
app.add_typer(router.commands, name="router")
app.add_typer(bench.commands, name="bench")


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
