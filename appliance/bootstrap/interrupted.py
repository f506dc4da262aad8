"""What a killed appliance was answering becomes traces at the next start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import structlog

from appliance.bootstrap.traces import CountedTraces
from appliance.domain.usage import PassThroughSink
from appliance.ledger.interrupted import trace_of
from appliance.ledger.journal import JournalFile
from appliance.ledger.trace_store import TraceStore
from appliance.ledger.unrecorded import seen

_log = structlog.get_logger(__name__)


async def save_interrupted(
    journal: JournalFile, store: TraceStore, sink: CountedTraces, others: Iterable[Path] = ()
) -> int:
    """Save a trace for each page that was left, and say how many. One that is in the ledger already stays as it is.

    `others` are journals of workers that there are no more. A page whose trace can't be saved stays for the next start.
    """
    saved = await _save(journal, store, sink)
    for file in others:
        with closing(JournalFile(file)) as left:
            saved += await _save(left, store, sink)
    if saved:
        _log.warning("requests were interrupted when the appliance last ended", traces=saved)
    return saved


async def _save(journal: JournalFile, store: TraceStore, sink: CountedTraces) -> int:
    saved = 0
    for page in journal.left:
        trace = trace_of(page.events, page.heard_unix_s)
        try:
            if trace is not None and not await store.has(trace.trace_id):
                await sink.save(trace)
                saved += 1
        except Exception as failure:  # whatever the ledger raises: the appliance can answer without it
            _log.error("an interrupted request's trace was not saved", kind=type(failure).__name__)
            continue
        journal.forget(page)
    return saved


async def save_unrecorded(left: Sequence[bytes], store: TraceStore, sink: CountedTraces, usage: PassThroughSink) -> int:
    """Bring into the ledger what only the audit chain's last records have heard of, and say how much that was."""
    found = seen(left)
    known = await store.known(found)
    missing = [request for trace_id, request in found.items() if trace_id not in known]
    for request in missing:
        if request.call is not None:
            usage.record_pass_through(request.call)
        else:
            await sink.save(request.trace)
    if missing:
        _log.warning("requests that only the audit chain knew were brought into the ledger", requests=len(missing))
    return len(missing)
