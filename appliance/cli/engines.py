"""`appliance engines`: one pack of engines and its door, for gateways that run elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from appliance.bootstrap.pack import build_pack
from appliance.bootstrap.pack_engines import member_command
from appliance.cli.options import ConfigOption, settings_of
from appliance.cli.process import LogToStderr, log_to, run
from appliance.engines.command import EngineCommand
from appliance.errors import EngineStartError


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
    if settings.cluster.group.rank > 0:
        _join(member_command(settings, plan, pack))
    process = build_pack(settings, plan, pack)
    log_to(settings, log_to_stderr)
    run(
        process,
        lambda console: console.print(
            f"pack ready, door at {process.url}   (Ctrl-C stops everything)", markup=False, highlight=False
        ),
        "gateways are told, calls in flight may end, then the engines do",
    )


def _join(command: EngineCommand) -> NoReturn:
    """Become the part of a group's engine that runs on this node: the leader has the door and answers for all."""
    try:
        os.execve(command.argv[0], command.argv, dict(command.environment))  # noqa: S606 (argv is a list, no shell)
    except OSError as error:
        raise EngineStartError(f"{command.argv[0]}: can't be run: {error.strerror}; set engines.python") from None
