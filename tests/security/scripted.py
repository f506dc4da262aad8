"""Engines that keep every form that they are asked for, so that what goes wrong is the appliance's own doing."""

from __future__ import annotations

from appliance.domain.request import CallContext, EngineCall
from tests.fakes.scripted_client import Reply
from tests.gateway.inside import careful


def obliging(call: EngineCall, ctx: CallContext) -> Reply | str:
    """JSON where a form is asked for."""
    if call.params.get("response_format"):
        return '{"left":79}'
    return careful(call, ctx)
