"""An engine's errors as ours: what it answered, with its words beside the message and never in it."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import aiohttp
import orjson

from appliance.domain.engine import EngineStatus
from appliance.errors import BudgetExhausted, ContextTooLong, EngineRejected, EngineUnavailable

BODY_TIMEOUT_S = 5.0
ERROR_BODY_BYTES = 65_536

_CONTEXT_WORDS = ("maximum context length", "maximum model length")


async def refuse(response: aiohttp.ClientResponse, engine: EngineStatus) -> NoReturn:
    """Raise what a response with an error status means: EngineRejected or ContextTooLong."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await response.content.read(ERROR_BODY_BYTES)
    except (TimeoutError, aiohttp.ClientError):
        body = b""
    raise_rejected(engine, response.status, message_of(body), "")


def message_of(body: bytes) -> str:
    """What an error's body says, whatever its form."""
    try:
        document = orjson.loads(body)
        error = document.get("error", document)
        return str(error.get("message", "")) if isinstance(error, dict) else str(error)
    except (orjson.JSONDecodeError, AttributeError):
        return body.decode(errors="replace")


def raise_rejected(engine: EngineStatus, status: int, detail: str, where: str) -> NoReturn:
    """Raise EngineRejected or ContextTooLong; `where` says at which point of the answer it came."""
    # The detail may quote the prompt, so it stays out of the message.
    if status == 400 and any(words in detail for words in _CONTEXT_WORDS):
        raise ContextTooLong(
            f"the prompt does not fit into the context of {engine.model_id}, {engine.max_model_len} tokens; shorten it",
            param="messages",
        )
    where = f" {where}" if where else ""
    raise EngineRejected(
        f"engine {engine.engine_id} answered with status {status}{where}", status=status, detail=detail
    )


def too_late(engine: EngineStatus) -> BudgetExhausted:
    """The request's own deadline has passed."""
    return BudgetExhausted(f"the request's time was up while engine {engine.engine_id} worked", limit="wall_s")


def unreachable(engine: EngineStatus, error: BaseException) -> EngineUnavailable:
    """No connection, or one that broke."""
    reason = str(error) or type(error).__name__
    return EngineUnavailable(f"engine {engine.engine_id} can't be reached: {reason}")
