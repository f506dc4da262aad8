"""Who hears of requests that went through the fast path: the metrics, the ledger and the access log."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from appliance.domain.journal import NO_JOURNAL, NO_PAGE, Journal, JournalPage
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.trace import Outcome
from appliance.domain.usage import PassThroughCall, PassThroughSink
from appliance.telemetry.logs import RequestLines, redact
from appliance.telemetry.metrics import NO_STRATEGY, Metrics

_OURS: Final = re.compile(r"req-[0-9a-f]{24}")


class RelayAccounts:
    """Tells each of them, in this order, so that the metrics count what can't be stored too. `lines` None: no log.

    The `journal` is told of requests that are on their way, where the audit chain is not certain to know of them.
    """

    def __init__(
        self, metrics: Metrics, sink: PassThroughSink, lines: RequestLines | None, journal: Journal = NO_JOURNAL
    ) -> None:
        self._metrics = metrics
        self._journal = None if journal is NO_JOURNAL else journal
        self._sink = sink
        self._lines = lines

    def begun(self, cut_off: Callable[[], PassThroughCall]) -> JournalPage:
        """A request was taken; `cut_off` makes what is known of it where this process ends in the middle of it.

        It is called where the journal is written before the request is over, in the journal's thread.
        """
        self._metrics.request_started()
        return NO_PAGE if self._journal is None else self._journal.begin_later(cut_off)

    def ended(self, call: PassThroughCall, error: str, gaps_s: Sequence[float], page: JournalPage) -> None:
        """It is over; `error` is the word for the log where it did not end well, `gaps_s` lay between its pieces."""
        self._metrics.passed_through(call)
        if gaps_s:
            strategy = PASSTHROUGH if call.outcome is Outcome.OK else NO_STRATEGY
            self._metrics.token_gaps(strategy=strategy, gaps_s=gaps_s, tenant_class=call.tenant_class)
        page.note(call)
        self._sink.record_pass_through(call, page.tear_out)
        if self._lines is not None:
            self._lines.add(call.started_unix_s + call.ended_s, _facts(call, error))


def _facts(call: PassThroughCall, error: str) -> str:
    """What the access log says of any request, as members of a JSON object. No value needs an escape."""
    name = call.request_id
    if not _OURS.fullmatch(name):  # a caller may have put anything into an id of its own
        name = redact(None, "", {"request_id": name})["request_id"]
    said = (
        f'"method":"POST","route":"{call.path}","status":{call.status},"duration_s":{call.ended_s:.4f},'
        f'"strategy":"{PASSTHROUGH}","trace_id":"{call.trace_id}","request_id":"{name}"'
    )
    return f'{said},"error":"{error}"' if error else said
