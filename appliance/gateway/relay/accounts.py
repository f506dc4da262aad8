"""Who hears of requests that went through the fast path: the metrics, the ledger and the access log."""

from __future__ import annotations

import re
from typing import Any, Final

from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.usage import PassThroughCall, PassThroughSink
from appliance.telemetry.logs import RequestLines, redact
from appliance.telemetry.metrics import Metrics

_OURS: Final = re.compile(r"req-[0-9a-f]{24}")


class RelayAccounts:
    """Tells each of them, in this order, so that the metrics count what can't be stored too. `lines` None: no log."""

    def __init__(self, metrics: Metrics, sink: PassThroughSink, lines: RequestLines | None) -> None:
        self._metrics = metrics
        self._sink = sink
        self._lines = lines

    def begun(self) -> None:
        """A request was taken."""
        self._metrics.request_started()

    def ended(self, call: PassThroughCall, error: str) -> None:
        """It is over; `error` is the word for the log where it did not end well."""
        self._metrics.passed_through(call)
        self._sink.record_pass_through(call)
        if self._lines is not None:
            self._lines.add(call.started_unix_s + call.ended_s, _facts(call, error))


def _facts(call: PassThroughCall, error: str) -> dict[str, Any]:
    """What the access log says of any request."""
    facts: dict[str, Any] = {
        "method": "POST",
        "route": call.path,
        "status": call.status,
        "duration_s": round(call.ended_s, 4),
        "strategy": PASSTHROUGH,
        "trace_id": call.trace_id,
        "request_id": call.request_id,
    }
    if error:
        facts["error"] = error
    # A caller may have put anything into an id of its own.
    return facts if _OURS.fullmatch(call.request_id) else dict(redact(None, "", facts))
