"""`appliance up`: start the pool and the gateway, and serve until Ctrl-C."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from rich.console import Console

from appliance.bootstrap.appliance import Appliance
from appliance.bootstrap.wiring import build
from appliance.cli.options import DEFAULT_CONFIG, ConfigOption, WorkersOption, settings_of, with_workers
from appliance.cli.process import LogToStderr, log_to, run
from appliance.config import Settings

_QUESTION = "Start with 12, multiply by 7, then subtract 5."


def up(config: ConfigOption = None, workers: WorkersOption = None, log_to_stderr: LogToStderr = False) -> None:
    """Start all engines of the configuration and the gateway; Ctrl-C stops everything."""
    settings = with_workers(settings_of(config), workers)
    appliance = build(settings, log_to_stderr=log_to_stderr)
    log_to(settings, log_to_stderr)
    hint = _hint(settings)
    run(
        appliance,
        lambda console: announce(console, appliance, hint),
        "answers in flight may end, then the engines do",
    )


def _hint(settings: Settings) -> str:
    """How to ask, from the same directory."""
    config = "" if settings.source == str(DEFAULT_CONFIG) else f" --config {settings.source}"
    return f"{_command()} ask --trace{config} '{_QUESTION}'"


def _command() -> str:
    """This program as it can be typed from here: its name where it is on the path, else where it lies."""
    script = Path(sys.prefix) / "bin" / "appliance"
    if shutil.which("appliance") is not None or not script.exists():
        return "appliance"
    return str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)


def announce(console: Console, appliance: Appliance, hint: str) -> None:
    """Where it listens and how to try it."""
    key = "" if appliance.api_key_file is None else f' -H "Authorization: Bearer $(head -1 {appliance.api_key_file})"'
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": _QUESTION}]})
    lines = [
        f"ready at {appliance.url}/v1   (Ctrl-C stops everything)",
        "" if appliance.api_key_file is None else f"API key in {appliance.api_key_file}",
        f"curl {appliance.url}/v1/chat/completions{key} -H 'content-type: application/json' -d '{body}'",
        hint,
    ]
    for line in filter(None, lines):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
