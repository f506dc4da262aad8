"""Holds the first byte of an answer back until its audit record is written, and records how it ended."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.domain.audit import Accepted, Audit, Digest, Finished
from appliance.errors import AuditFailed
from appliance.gateway import exchange as exchanges
from appliance.gateway.exchange import Exchange
from appliance.telemetry.metrics import NO_STRATEGY

AUDITED: Final = re.compile(
    r"(POST )(/v1/(chat/completions|completions|embeddings|rerank|responses)|/rerank|/v1/traces/[^/]+/replay)"
    r"|(GET )/v1/traces/[^/]+"
)
"""Method and path of what is recorded: whatever makes models answer, and whoever reads what was kept of it."""


@dataclass(slots=True)
class _Answer:
    """One request on its way. `body` are the pieces of the request's body until it is recorded."""

    digest: Digest
    body: list[bytes] = field(default_factory=list)
    begun: bool = False
    sent_bytes: int = 0
    outcome: str = "error"


class Auditing:
    """Stands inside of authentication, since it records who asked, and outside of all that answers."""

    def __init__(self, app: ASGIApp, *, audit: Audit) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Raises AuditFailed where nothing may leave."""
        if scope["type"] != "http" or not AUDITED.fullmatch(f"{scope['method']} {scope['path']}"):
            await self._app(scope, receive, send)
            return
        exchange, answer = exchanges.of(scope), _Answer(self._audit.digest())

        async def receiving() -> Message:
            message = await receive()
            if not answer.begun and message.get("body"):
                answer.body.append(message["body"])
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._audit.accepted(_accepted(scope, exchange, answer, status=message["status"]))
                answer.begun, answer.body = True, []
                answer.outcome = "ok" if message["status"] < 400 else "error"
            elif body := message.get("body"):
                answer.digest.update(body)
                answer.sent_bytes += len(body)
            await send(message)

        try:
            await self._app(scope, receiving, sending)
            if exchange.error:
                answer.outcome = "error"  # it began well
        except asyncio.CancelledError:
            answer.outcome = "cancelled"
            raise
        except Exception as error:  # whatever it was is recorded, and raised again for the door
            answer.outcome = "error"
            if not answer.begun and not isinstance(error, AuditFailed):
                await self._audit.accepted(_accepted(scope, exchange, answer, refusal=type(error).__name__))
            raise
        finally:
            self._audit.finished(_finished(exchange, answer))


def _accepted(scope: Scope, exchange: Exchange, answer: _Answer, *, status: int = 0, refusal: str = "") -> Accepted:
    tenant = exchange.tenant
    assert tenant is not None, "authentication comes before this"
    return Accepted(
        request_id=exchange.request_id,
        trace_id=exchange.trace_id,
        tenant=tenant.name,
        credential=tenant.credential,
        path=scope["path"],
        model=exchange.model,
        labels=tuple(sorted(tenant.labels | exchange.labels)),
        status=status,
        refusal=refusal,
        body=b"".join(answer.body),
    )


def _finished(exchange: Exchange, answer: _Answer) -> Finished:
    return Finished(
        request_id=exchange.request_id,
        trace_id=exchange.trace_id,
        outcome=answer.outcome,
        strategy="" if exchange.strategy == NO_STRATEGY else exchange.strategy,
        answer_bytes=answer.sent_bytes,
        answer_digest=answer.digest.hexdigest() if answer.sent_bytes else "",
    )
