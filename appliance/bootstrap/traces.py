"""Traces on their way to the ledger are counted."""

from __future__ import annotations

from appliance.bootstrap.demand_tally import DemandTally
from appliance.domain.trace import Trace
from appliance.ledger.trace_store import TraceStore
from appliance.telemetry.metrics import Metrics


class CountedTraces:
    """The coordinator's sink: metrics first, so that they count a trace that can't be stored too."""

    def __init__(self, store: TraceStore, metrics: Metrics, tally: DemandTally) -> None:
        self._store = store
        self._metrics = metrics
        self._tally = tally

    async def save(self, trace: Trace) -> None:
        """Count and store one trace."""
        self._metrics.record_trace(trace)
        self._tally.record(trace)
        await self._store.save(trace)
