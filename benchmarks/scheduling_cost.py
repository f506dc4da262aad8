"""What the order of waiting calls costs: the appliance's dispatcher with 10,000 calls in one line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

from appliance.dispatch.admission import AdmissionLimits
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.model import Role
from appliance.domain.request import CallChunk, CallContext, EngineCall

WAITING, SLOTS = 10_000, 64
_CALL = EngineCall("m", (), 8)


@dataclass(slots=True)
class _Gate:
    """A client whose calls last until the gate opens, and then one turn of the event loop."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream_chat(self, engine: EngineStatus, call: EngineCall, ctx: CallContext) -> AsyncGenerator[CallChunk]:
        """One chunk."""
        await self.opened.wait()
        await asyncio.sleep(0)
        yield CallChunk("x", finish_reason="stop")


def measure(calls: int = WAITING) -> Mapping[str, float]:
    """Processor microseconds per call: to join a line that grows to `calls`, and from there to the end."""
    return asyncio.run(_measured(calls))


async def _measured(calls: int) -> Mapping[str, float]:
    fleet, gate = Fleet(), _Gate()
    fleet.publish((EngineStatus("m-0", "m", EngineState.READY, "http://m", "", 1024, SLOTS),))
    dispatcher = Dispatcher(fleet, gate, limits=AdmissionLimits(max_waiting=2 * calls, max_wait_s=3600.0))
    deadline_s = time.monotonic() + 3600

    async def one(number: int) -> None:
        left = number % 40 or None
        ctx = CallContext(str(number), "t", "s", Role.EXECUTOR, "", 0, deadline_s, 0, "", calls_left=left)
        async for _ in dispatcher.stream(_CALL, ctx):
            pass

    began_s = time.process_time()
    tasks = [asyncio.create_task(one(number)) for number in range(calls + SLOTS)]
    await asyncio.sleep(0)  # every task runs until it waits
    assert dispatcher.waiting == {"m": calls}
    joined_s = time.process_time()
    gate.opened.set()
    await asyncio.gather(*tasks)
    ended_s = time.process_time()
    return {
        "calls": calls,
        "join_us": (joined_s - began_s) / calls * 1e6,
        "serve_us": (ended_s - joined_s) / calls * 1e6,
    }
