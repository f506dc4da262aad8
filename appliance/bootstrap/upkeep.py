"""Deletes what has been kept long enough: at start and every hour."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from appliance.config.ledger import LedgerSettings
from appliance.errors import LedgerError
from appliance.ledger.trace_store import TraceStore
from appliance.ledger.usage_store import UsageStore

_DAY_S = 86_400
_EVERY_S = 3_600

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The ledger's retention."""

    traces: TraceStore
    usage: UsageStore
    settings: LedgerSettings

    async def once(self) -> None:
        """Delete what is too old. Raises LedgerError."""
        now_s = time.time()
        traces = await self.traces.prune(now_s - self.settings.keep_days * _DAY_S, now_s)
        usage = await self.usage.prune(now_s - self.settings.keep_usage_days * _DAY_S)
        if traces or usage:
            _log.info("old records were deleted", traces=traces, usage=usage)

    async def run(self) -> None:
        """Every hour until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.once()
            except LedgerError as error:
                _log.error("old records were not deleted", error=str(error))
