"""A supervisor that is started, runs in the background, and is stopped with the block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from appliance.supervisor.supervisor import Progress, Supervisor


@asynccontextmanager
async def running(supervisor: Supervisor, progress: Progress | None = None) -> AsyncIterator[None]:
    await supervisor.start(progress)
    loop = asyncio.create_task(supervisor.run())
    try:
        yield
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop
        await supervisor.stop()
