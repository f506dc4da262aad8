"""`appliance engines`: one pack of engines and its door, for gateways that run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from appliance.bootstrap import build_pack
from appliance.cli.options import ConfigOption, settings_of
from appliance.cli.process import LogToStderr, log_to, run


def engines(
    config: ConfigOption = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", help="A plan, as `appliance plan --json` or --helm-values prints it. Default: plan here."
        ),
    ] = None,
    pack: Annotated[
        str | None, typer.Option("--pack", help="The pack of the plan to run, such as pack-0, where it has several.")
    ] = None,
    log_to_stderr: LogToStderr = False,
) -> None:
    """Start the engines of one pack, and a door where gateways find them; Ctrl-C stops everything."""
    settings = settings_of(config)
    if pack is not None and plan is None:
        raise typer.BadParameter("--pack names a pack of a plan; name the plan with --plan FILE")
    process = build_pack(settings, plan, pack)
    log_to(settings, log_to_stderr)
    run(
        process,
        lambda console: console.print(
            f"pack ready, door at {process.url}   (Ctrl-C stops everything)", markup=False, highlight=False
        ),
        "gateways are told, calls in flight may end, then the engines do",
    )
