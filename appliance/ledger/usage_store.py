"""What every call consumed: rows of traces, rows of pass-through requests, and reports over both."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from appliance.domain.trace import Outcome, Trace
from appliance.domain.usage import NO_TERMS, PassThroughCall, Terms, nobody
from appliance.errors import LedgerError
from appliance.ledger.database import Database
from appliance.ledger.schema import usage
from appliance.ledger.trace_query import TraceQuery, TraceSummary
from appliance.ledger.usage_query import UsageLine, UsageQuery
from appliance.ledger.usage_rows import insert_once, pass_through_row, pass_through_trace, rows_of

logger = logging.getLogger(__name__)

GATHER_S = 0.05
"""Pass-through requests that end within this time of each other share a transaction."""

_RETRY_S = 1.0
_GROUP = 1_000
_MOST_WAITING = 200_000
"""While the database fails, so many wait for it; then the oldest are lost."""


class UsageStore:
    """Usage rows. `terms` say what a call costs; `on_failure` hears of each write that failed."""

    def __init__(
        self, database: Database, terms: Terms = NO_TERMS, on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._terms = terms
        self._on_failure = on_failure
        self._ended: deque[tuple[PassThroughCall, Callable[[], None]]] = deque(maxlen=_MOST_WAITING)
        self._awake = False
        self._told = False

    def record_pass_through(self, call: PassThroughCall, on_written: Callable[[], None] = nobody) -> None:
        """Take note of it, to be written soon together with others. It never waits and never fails.

        `on_written` hears, in the writing thread, that it is in the ledger.
        """
        self._ended.append((call, on_written))
        if not self._awake:
            self._awake = True
            self._wake_in(asyncio.get_running_loop(), GATHER_S)

    def settle(self) -> Future[None]:
        """Write what is waiting; done when that is over, well or not."""
        return self._database.submit(self._flush)

    def replace(self, connection: Connection, saved: Iterable[Trace]) -> None:
        """The rows of these traces, in the caller's transaction and in the place of earlier ones."""
        wanted = {trace.trace_id: trace for trace in saved}
        connection.execute(delete(usage).where(usage.c.trace_id.in_(list(wanted))))
        insert_once(connection, [row for trace in wanted.values() for row in rows_of(trace, self._terms)])

    async def trace(self, trace_id: str) -> Trace | None:
        """The trace of a pass-through request."""
        query = select(usage).where(usage.c.trace_id == trace_id, usage.c.status.is_not(None))
        row = await self._asked(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else pass_through_trace(row)

    async def passed_through(self, query: TraceQuery) -> tuple[TraceSummary, ...]:
        """Pass-through requests in one line each, newest first: a page and one line more."""
        statement = query.of_the_fast_path()
        if statement is None:
            return ()
        return tuple(map(_summary, await self._asked(lambda connection: connection.execute(statement).all())))

    async def report(self, query: UsageQuery) -> tuple[UsageLine, ...]:
        """What was consumed, in lines by what the query groups by; beside the writing thread."""
        await asyncio.wrap_future(self.settle())
        return await self._database.read(query.lines)

    async def prune(self, older_than_unix_s: float) -> int:
        """Delete rows from before this wall time, group by group; returns how many."""
        key = usage.c.started_unix_s
        pruned = 0
        while True:
            newest_of_group = select(key).where(key < older_than_unix_s).order_by(key).limit(1).offset(_GROUP - 1)

            def group(connection: Connection, last: Any = newest_of_group) -> int:
                found = connection.execute(last).scalar_one_or_none()
                limit = key < older_than_unix_s if found is None else key <= found
                return connection.execute(delete(usage).where(limit)).rowcount

            count = await self._database.run(group)
            if not count:
                return pruned
            pruned += count

    async def _asked(self, question: Callable[[Connection], Any]) -> Any:
        """In the writing thread, after what is waiting was written."""
        self.settle()
        return await self._database.run(question, reads_only=True)

    def _wake_in(self, loop: asyncio.AbstractEventLoop, delay_s: float) -> None:
        loop.call_later(delay_s, self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._awake = False
        try:
            self.settle().add_done_callback(lambda _: self._again(loop))
        except RuntimeError:  # closed meanwhile; whoever closed it has settled before
            return

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the writing thread: what could not be written is tried again."""
        if self._ended and not self._awake and not loop.is_closed():
            self._awake = True
            loop.call_soon_threadsafe(self._wake_in, loop, _RETRY_S if self._told else 0.0)

    def _flush(self) -> None:
        while self._ended:
            group = [self._ended.popleft() for _ in range(min(_GROUP, len(self._ended)))]
            try:
                with self._database.begin() as connection:
                    insert_once(connection, [pass_through_row(call, self._terms) for call, _ in group])
                self._told = False
                for _, on_written in group:
                    on_written()
            except Exception as error:  # a mistake of ours must not lose what was consumed, nor end the thread
                self._ended.extendleft(reversed(group))
                self._failed(error)
                return

    def _failed(self, error: Exception) -> None:
        """Once in the log: a full disk would fill it with nothing else."""
        self._on_failure()
        if not self._told:
            self._told = True
            reason = str(error) if isinstance(error, LedgerError) else type(error).__name__
            logger.error("usage can't be written (%s): it waits in memory and is tried again", reason)


def _summary(row: Row[Any]) -> TraceSummary:
    return TraceSummary(
        trace_id=row.trace_id,
        request_id=row.request_id,
        tenant=row.tenant,
        requested_model=row.requested_model,
        strategy=row.strategy,
        outcome=Outcome(row.outcome),
        created_unix_s=row.started_unix_s,
        duration_s=row.queue_s + row.engine_s,
        calls=1,
        total_tokens=row.prompt_tokens + row.completion_tokens,
    )
