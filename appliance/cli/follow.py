"""`appliance follow`: a further node of an engine that one node can't hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from appliance.bootstrap.follower import follower
from appliance.cli.options import ConfigOption, settings_of


def follow(
    plan: Annotated[Path, typer.Option("--plan", help="The plan that the first node has, too.")],
    rank: Annotated[int, typer.Option("--rank", help="Which of the engine's nodes this is; 0 is the first.")],
    config: ConfigOption = None,
    pack: Annotated[str | None, typer.Option("--pack", help="The pack of the plan, where it has several.")] = None,
) -> None:
    """Lend this node's GPUs to an engine whose first node runs `appliance engines`. vLLM takes this process' place."""
    command = follower(settings_of(config), plan, pack, rank, os.environ)
    os.execve(command.argv[0], command.argv, dict(command.environment))  # noqa: S606  # there is no shell to be had
