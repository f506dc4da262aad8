"""An audit that keeps events in memory, and fails when it is told to."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from appliance.domain.audit import Accepted, Act, AuditEvent, Digest, Finished
from appliance.errors import AuditFailed


@dataclass(slots=True)
class MemoryAudit:
    """`slow` is waited for before anything is written; `failing` refuses it."""

    events: list[AuditEvent] = field(default_factory=list)
    failing: bool = False
    slow: asyncio.Event | None = None

    async def accepted(self, event: Accepted) -> None:
        """Keep it, or fail."""
        if self.slow is not None:
            await self.slow.wait()
        if self.failing:
            raise AuditFailed("the audit record can't be written (no room)")
        self.events.append(event)

    async def act(self, event: Act) -> None:
        """Keep it."""
        self.events.append(event)

    def finished(self, event: Finished) -> None:
        """Keep it."""
        self.events.append(event)

    def digest(self) -> Digest:
        """Without a key."""
        return hashlib.sha256()
