"""The end of a task that runs until it is cancelled."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def ended(task: asyncio.Task[None] | None) -> None:
    """Cancel it, where there is one, and wait until it has cleaned up."""
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
