"""Calls of a dispatcher over a scripted client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.dispatch.admission import AdmissionLimits
from appliance.dispatch.dispatcher import Dispatcher, Sent
from appliance.domain.engine import EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.model import Role
from appliance.domain.request import CallContext, EngineCall
from tests.fakes.scripted_client import Script, ScriptedClient

CALL = EngineCall("m", ({"role": "user", "content": "hi"},), 8)


def context(deadline_s: float = 2000.0, request_id: str = "r") -> CallContext:
    return CallContext(request_id, "t", "s1", Role.EXECUTOR, "acme", 0, deadline_s, 100, "salt")


def built(
    script: Script, *engines: EngineStatus, limits: AdmissionLimits | None = None
) -> tuple[Dispatcher, ScriptedClient, Fleet]:
    fleet, client = Fleet(), ScriptedClient(script)
    fleet.publish(engines)
    return Dispatcher(fleet, client, asyncio.get_running_loop().time, limits), client, fleet


async def text_of(
    dispatcher: Dispatcher, on_sent: Callable[[Sent], None] = lambda _: None, request_id: str = "r"
) -> str:
    return "".join([chunk.text async for chunk in dispatcher.stream(CALL, context(request_id=request_id), on_sent)])
