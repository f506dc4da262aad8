"""`appliance status`: is it ready, and what do the engines do?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console

from appliance.cli import fleet_view
from appliance.cli.connection import locate
from appliance.cli.door import RUNTIME_FAILURE
from appliance.cli.options import ConfigOption, KeyFileOption, UrlOption
from appliance.domain.engine import EngineState, EngineStatus


def status(config: ConfigOption = None, url: UrlOption = None, key_file: KeyFileOption = None) -> None:
    """Show the engines of the running appliance. Exit code 1 when one of them is not ready."""
    connection = locate(config, url, key_file)
    engines = [_engine(shown) for shown in connection.get("/fleet")["engines"]]
    waiting = [engine for engine in engines if engine.state is not EngineState.READY]
    console = Console()
    console.print(f"{connection.url}  {len(engines) - len(waiting)} of {len(engines)} engines ready")
    console.print(fleet_view.render(engines))
    if waiting:
        raise typer.Exit(RUNTIME_FAILURE)


def _engine(shown: Mapping[str, Any]) -> EngineStatus:
    return EngineStatus(**{**shown, "state": EngineState(shown["state"]), "api_key": ""})
