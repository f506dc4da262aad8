"""A progress bar for bytes that are read or written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from appliance.catalog.files import Progress as Report


@contextmanager
def byte_bar(name: str, total_bytes: int) -> Iterator[Report]:
    """A bar on stderr; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(name, total=total_bytes)
        yield lambda size_bytes: bar.update(task, advance=size_bytes)
