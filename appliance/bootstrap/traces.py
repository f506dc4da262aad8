"""Traces on their way to the ledger are counted, and exported where a collector is configured."""

from __future__ import annotations

from collections.abc import Callable

from appliance.bootstrap.demand_tally import DemandTally
from appliance.domain.trace import Trace
from appliance.domain.usage import PassThroughCall, PassThroughSink, nobody
from appliance.ledger.trace_store import TraceStore
from appliance.ledger.usage_rows import trace_of_pass_through
from appliance.telemetry.metrics import Metrics


class CountedTraces:
    """The coordinator's sink: metrics first, so that they count a trace that can't be stored too.

    `export` hands a trace to the exporter and returns at once.
    """

    def __init__(
        self,
        store: TraceStore,
        metrics: Metrics,
        tally: DemandTally,
        export: Callable[[Trace], None] | None = None,
    ) -> None:
        self._store = store
        self._export = export
        self._metrics = metrics
        self._tally = tally

    async def save(self, trace: Trace) -> None:
        """Count and store one trace."""
        self._metrics.record_trace(trace)
        self._tally.record(trace)
        if self._export is not None:
            self._export(trace)
        await self._store.save(trace)


class ExportedUsage:
    """The fast path's sink where a collector is configured: its requests leave as spans, too."""

    def __init__(self, sink: PassThroughSink, export: Callable[[Trace], None]) -> None:
        self._sink = sink
        self._export = export

    def record_pass_through(self, call: PassThroughCall, on_written: Callable[[], None] = nobody) -> None:
        """Export and take note of it."""
        self._export(trace_of_pass_through(call))
        self._sink.record_pass_through(call, on_written)
