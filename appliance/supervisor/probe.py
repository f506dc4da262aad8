"""Finds an engine that answers /health but makes no tokens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from appliance.domain.engine import EngineStatus
from appliance.engines.client import EngineClient
from appliance.errors import EngineError, EngineRejected


@dataclass(frozen=True, slots=True)
class ProbePolicy:
    """A wedged engine is found within `every_s + silent_s` (seconds).

    `silent_s` must be longer than two steps of the slowest model: one of 7B on a CPU takes many seconds for a step.
    """

    every_s: float = 3.0
    silent_s: float = 6.0


async def until_wedged(client: EngineClient, engine: EngineStatus, policy: ProbePolicy) -> str:
    """Probe again and again; return the reason when the engine is found wedged.

    One late token may only mean a busy engine (vLLM goes on reading a long prompt before it turns to a new request),
    so it counts as wedged when two probes in a row get none and the engine's own figures stood still between them.
    """
    while True:
        await asyncio.sleep(policy.every_s)
        if await _answers(client, engine, policy.silent_s / 2):
            continue
        before = await client.progress(engine)
        if await _answers(client, engine, policy.silent_s / 2):
            continue
        if before is None or before == await client.progress(engine):
            return f"it answers /health but has made no token for {policy.silent_s:g} s"


async def _answers(client: EngineClient, engine: EngineStatus, timeout_s: float) -> bool:
    try:
        await client.generate_one(engine, timeout_s)
    except EngineRejected as error:
        # A full queue (503, 429) is a sign of life; a dead engine core answers 500.
        return error.status != 500
    except EngineError:
        return False
    return True
