"""The audit records of one request on the fast path: written while the engine works, awaited before the first byte."""

from __future__ import annotations

from appliance.domain.audit import Accepted, Audit, Finished
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.tenant import Tenant
from appliance.domain.usage import PassThroughCall


class Record:
    """Begins to be written when it is made."""

    def __init__(
        self, audit: Audit, tenant: Tenant, request_id: str, trace_id: str, path: str, model: str, body: bytes
    ) -> None:
        self._audit = audit
        self._digest = audit.digest()
        self._sent_bytes = 0
        self._written = audit.accepted(
            Accepted(
                request_id=request_id,
                trace_id=trace_id,
                tenant=tenant.name,
                credential=tenant.credential,
                path=path,
                model=model,
                labels=tuple(sorted(tenant.labels)),
                body=body,
            )
        )

    async def written(self) -> None:
        """Wait until it is. Raises AuditFailed where nothing may leave."""
        await self._written

    def sent(self, piece: bytes) -> None:
        """A piece of the answer is about to leave."""
        self._sent_bytes += len(piece)
        self._digest.update(piece)

    def ended(self, call: PassThroughCall) -> None:
        """It is over, with what it consumed: a crash before that is in the ledger loses nothing of it."""
        self._audit.finished(
            Finished(
                request_id=call.request_id,
                trace_id=call.trace_id,
                outcome=call.outcome.value,
                strategy=PASSTHROUGH,
                answer_bytes=self._sent_bytes,
                answer_digest=self._digest.hexdigest() if self._sent_bytes else "",
                call=call,
            )
        )
