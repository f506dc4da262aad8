"""`appliance up`: start the pool and the gateway, and serve until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from appliance.bootstrap import Appliance, build
from appliance.cli.door import INTERRUPTED
from appliance.cli.options import DEFAULT_CONFIG, ConfigOption, settings_of
from appliance.cli.start_view import StartView
from appliance.config import Settings
from appliance.telemetry import logs

_TERMINATED = 128 + signal.SIGTERM
_QUESTION = "Start with 12, multiply by 7, then subtract 5."


def up(
    config: ConfigOption = None,
    log_to_stderr: Annotated[
        bool, typer.Option("--log-to-stderr", help="JSON log lines to stderr instead of data_dir/logs/appliance.log.")
    ] = False,
) -> None:
    """Start all engines of the configuration and the gateway; Ctrl-C stops everything."""
    settings = settings_of(config)
    appliance = build(settings)
    logs.configure(file=None if log_to_stderr else settings.data_dir / "logs" / "appliance.log")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(appliance, Console(), _hint(settings)))
    raise typer.Exit(code)


async def _run(appliance: Appliance, console: Console, hint: str) -> int:
    """Start, serve, stop; the exit code. Signals are read at every moment of it."""
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signals.put_nowait, number)
    try:
        with StartView(console, appliance.fleet) as view:
            interrupted = await _until_signal(appliance.start(view.progress), signals)
        if interrupted is not None:
            console.print("stopping: the start was interrupted")
            return INTERRUPTED if interrupted is signal.SIGINT else _TERMINATED
        _announce(console, appliance, hint)
        if await _until_signal(appliance.serve(), signals) is not None:
            console.print("stopping: answers in flight may end, then the engines do (Ctrl-C again to hurry)")
        return 0
    finally:
        await _stopped(appliance, signals)


async def _until_signal(
    work: Coroutine[Any, Any, None], signals: asyncio.Queue[signal.Signals]
) -> signal.Signals | None:
    """Do `work`; a signal cancels it, and is returned once it has cleaned up."""
    working = asyncio.ensure_future(work)
    listening = asyncio.ensure_future(signals.get())
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return None
        return listening.result()
    finally:
        working.cancel()
        listening.cancel()
        await asyncio.gather(working, listening, return_exceptions=True)


async def _stopped(appliance: Appliance, signals: asyncio.Queue[signal.Signals]) -> None:
    """Stop; every further signal cuts the present step short."""
    stopping = asyncio.create_task(appliance.stop())
    while not stopping.done():
        hurry = asyncio.ensure_future(signals.get())
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if hurry.done():
            stopping.cancel()
        hurry.cancel()
    if not stopping.cancelled():
        stopping.result()


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


def _announce(console: Console, appliance: Appliance, hint: str) -> None:
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
