"""Finished traces as spans over OTLP/HTTP, in the background: a thread of its own, a bounded queue, no waiting."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from appliance.domain.trace import Trace
from appliance.telemetry.spans import SpanMaker

_log = structlog.get_logger(__name__)

_WAITING = 1_000
"""Traces that may wait; one more is dropped."""
_BATCH = 50
"""Traces that are sent together."""
_LOG_EVERY_S = 300.0
_TIMEOUT_S = 10.0
"""For one batch, retries included."""
_LAST_S = 5.0
"""For what still waits when the appliance stops."""


class ExportCounts(Protocol):
    """Hears what became of traces."""

    def traces_exported(self, result: str, count: int) -> None:
        """`result` is sent, failed (the collector did not take them) or dropped (too many waited)."""


class Exporter:
    """Sends traces to an OTLP collector. `offer` may be called from any thread and never waits.

    `endpoint` is the collector's base URL (`http://collector:4318`); spans go to `/v1/traces` below it. `sender` is
    another way out, for tests; `clock` is monotonic seconds.
    """

    def __init__(
        self,
        endpoint: str,
        version: str,
        counts: ExportCounts,
        *,
        sender: SpanExporter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # It logs each failed batch, in words of its own; we do so now and then.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http").setLevel(logging.CRITICAL)
        self._endpoint = endpoint
        self._counts = counts
        self._sender = sender or OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_TIMEOUT_S)
        self._clock = clock
        self._logged_s: float | None = None
        self._failed_since = 0
        self._waiting: queue.Queue[Trace] = queue.Queue(_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(version,), name="otlp", daemon=True)
        self._thread.start()

    def offer(self, trace: Trace) -> None:
        """Take a trace, or drop and count it where too many wait already."""
        try:
            self._waiting.put_nowait(trace)
        except queue.Full:
            self._counts.traces_exported("dropped", 1)

    def close(self) -> None:
        """Send what waits, as far as a few seconds suffice for it; call it once."""
        self._closing.set()
        self._thread.join(_LAST_S)
        self._sender.shutdown()

    def _work(self, version: str) -> None:
        spans = SpanMaker(version)
        while traces := self._next():
            try:
                sent = self._sent([span for trace in traces for span in spans.spans_of(trace)])
                reason = "the collector did not take them"
            except Exception as failure:  # whatever it is, the next batch gets its try
                sent, reason = False, type(failure).__name__
            if not sent:
                self._note(len(traces), reason)
            self._counts.traces_exported("sent" if sent else "failed", len(traces))

    def _sent(self, spans: Sequence[ReadableSpan]) -> bool:
        return not spans or self._sender.export(spans) is SpanExportResult.SUCCESS

    def _next(self) -> list[Trace]:
        """The traces that wait, up to a batch; waits for the first. Empty when it closes and nothing is left."""
        traces: list[Trace] = []
        while not traces:
            try:
                traces.append(self._waiting.get(timeout=0.2))
            except queue.Empty:
                if self._closing.is_set():
                    return []
        while len(traces) < _BATCH:
            try:
                traces.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return traces

    def _note(self, traces: int, reason: str) -> None:
        """Once in a while, for all that failed since the last time."""
        self._failed_since += traces
        now_s = self._clock()
        if self._logged_s is not None and now_s - self._logged_s < _LOG_EVERY_S:
            return
        _log.warning("traces could not be exported", endpoint=self._endpoint, traces=self._failed_since, reason=reason)
        self._logged_s, self._failed_since = now_s, 0
