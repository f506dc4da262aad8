"""Options that several verbs share, and the search for the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from appliance.config import Settings, load
from appliance.errors import ConfigError

DEFAULT_CONFIG = Path("config/starter.yaml")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="APPLIANCE_CONFIG", help=f"Configuration file. Default: {DEFAULT_CONFIG}"),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="APPLIANCE_URL", help="Address of the appliance. Default: the one running here."),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option("--key-file", help="File with an API key; APPLIANCE_API_KEY in the environment works too."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def settings_of(config: Path | None) -> Settings:
    """The settings of `config` or of the default file."""
    if config is None and not DEFAULT_CONFIG.exists():
        raise ConfigError(
            f"there is no {DEFAULT_CONFIG} below the working directory; name a configuration with --config FILE"
        )
    return load(config or DEFAULT_CONFIG)


WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, max=64, help="Processes that answer requests; more than one use more cores. Default: 1."
    ),
]


def with_workers(settings: Settings, workers: int | None) -> Settings:
    """The settings with as many workers as the command line says, where it does."""
    if workers is None:
        return settings
    changed = settings.model_copy(update={"server": settings.server.model_copy(update={"workers": workers})})
    return changed.said_by(settings.source)
