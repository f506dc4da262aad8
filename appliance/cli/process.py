"""A process of the appliance in the foreground: started, served and stopped under signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Protocol

import typer
import uvloop
from rich.console import Console

from appliance.bootstrap import heap
from appliance.cli.door import INTERRUPTED
from appliance.cli.start_view import StartView
from appliance.config import Settings
from appliance.domain.fleet import Fleet
from appliance.supervisor.supervisor import Progress
from appliance.telemetry import logs

_TERMINATED = 128 + signal.SIGTERM

LogToStderr = Annotated[
    bool, typer.Option("--log-to-stderr", help="JSON log lines to stderr instead of data_dir/logs/appliance.log.")
]


class Process(Protocol):
    """What can be run in the foreground."""

    @property
    def fleet(self) -> Fleet:
        """Its engines."""

    async def start(self, progress: Progress | None = None) -> None:
        """Return when it serves."""

    async def serve(self) -> None:
        """Return when it has ended by itself."""

    async def stop(self) -> None:
        """Leave nothing behind."""


def run(process: Process, announce: Callable[[Console], None] = lambda _: None, stopping: str = "") -> None:
    """Run it until a signal, and leave with the exit code.

    `announce` says where it is, `stopping` what is going on then; nothing is said by default.
    """
    heap.settle()  # before anybody waits for an answer: it takes a moment
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(process, Console(), announce, stopping))
    raise typer.Exit(code)


def log_to(settings: Settings, to_stderr: bool, name: str = "appliance") -> None:
    """Logs go to a file of this process, or to stderr."""
    logs.configure(file=None if to_stderr else settings.data_dir / "logs" / f"{name}.log")


async def _run(process: Process, console: Console, announce: Callable[[Console], None], stopping: str) -> int:
    """Start, serve, stop; the exit code. Signals are read at every moment of it."""
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signals.put_nowait, number)
    try:
        with StartView(console, process.fleet) as view:
            interrupted = await _until_signal(process.start(view.progress), signals)
        if interrupted is not None:
            console.print("stopping: the start was interrupted")
            return INTERRUPTED if interrupted is signal.SIGINT else _TERMINATED
        announce(console)
        if await _until_signal(process.serve(), signals) is not None and stopping:
            console.print(f"stopping: {stopping} (Ctrl-C again to hurry)")
        return 0
    finally:
        await _stopped(process, signals)


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


async def _stopped(process: Process, signals: asyncio.Queue[signal.Signals]) -> None:
    """Stop; every further signal cuts the present step short."""
    stopping = asyncio.create_task(process.stop())
    while not stopping.done():
        hurry = asyncio.ensure_future(signals.get())
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if hurry.done():
            stopping.cancel()
        hurry.cancel()
    if not stopping.cancelled():
        stopping.result()
