"""What a killed appliance was answering becomes traces at the next start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import structlog

from appliance.bootstrap.traces import CountedTraces
from appliance.domain.usage import PassThroughSink
from appliance.ledger.interrupted import pass_through_of, trace_of
from appliance.ledger.journal import JournalFile, LeftPage
from appliance.ledger.trace_store import TraceStore
from appliance.ledger.unrecorded import seen

_log = structlog.get_logger(__name__)

_AT_ONCE = 256
"""Traces that are saved together share a transaction."""


async def save_interrupted(
    journal: JournalFile, store: TraceStore, sink: CountedTraces, usage: PassThroughSink, others: Iterable[Path] = ()
) -> int:
    """Save a trace for each page that was left, and say how many. One that is in the ledger already stays as it is.

    `others` are journals of workers that there are no more. A page whose trace can't be saved stays for the next start.
    """
    saved = await _save(journal, store, sink, usage)
    for file in others:
        with closing(JournalFile(file)) as left:
            saved += await _save(left, store, sink, usage)
            await store.settled()
    if saved:
        _log.warning("requests were interrupted when the appliance last ended", traces=saved)
    return saved


async def _save(journal: JournalFile, store: TraceStore, sink: CountedTraces, usage: PassThroughSink) -> int:
    saved = 0
    for begin in range(0, len(journal.left), _AT_ONCE):
        some = journal.left[begin : begin + _AT_ONCE]
        saved += sum(await asyncio.gather(*(_save_page(journal, left, store, sink, usage) for left in some)))
    return saved


async def _save_page(
    journal: JournalFile, left: LeftPage, store: TraceStore, sink: CountedTraces, usage: PassThroughSink
) -> bool:
    """Whether its trace was new."""
    page = journal.page_of(left)
    call = pass_through_of(left.events, left.heard_unix_s)
    trace = None if call else trace_of(left.events, left.heard_unix_s)
    found, new = call or trace, False
    try:
        if found is not None and not await store.has(found.trace_id):
            new = True
            if call is not None:
                usage.record_pass_through(call, page.tear_out)
                return True
            assert trace is not None
            await sink.save(trace)
    except Exception as failure:  # whatever the ledger raises: the appliance can answer without it
        _log.error("an interrupted request's trace was not saved", kind=type(failure).__name__)
        return new
    page.tear_out()
    return new


async def save_unrecorded(left: Sequence[bytes], store: TraceStore, sink: CountedTraces, usage: PassThroughSink) -> int:
    """Bring into the ledger what only the audit chain's last records have heard of, and say how much that was."""
    found = seen(left)
    known = await store.known(found)
    missing = [request for trace_id, request in found.items() if trace_id not in known]
    for request in missing:
        if request.call is not None:
            usage.record_pass_through(request.call)
    traces = [request.trace for request in missing if request.call is None]
    for begin in range(0, len(traces), _AT_ONCE):
        await asyncio.gather(*map(sink.save, traces[begin : begin + _AT_ONCE]))
    await store.settled()
    if missing:
        _log.warning("requests that only the audit chain knew were brought into the ledger", requests=len(missing))
    return len(missing)
