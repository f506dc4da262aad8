"""Traces in the ledger: saves that come together share a transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, and_, delete, insert, or_, select

from appliance.domain.trace import Outcome, Trace
from appliance.errors import LedgerError
from appliance.ledger.database import Database
from appliance.ledger.schema import traces
from appliance.ledger.trace_query import TracePage, TraceQuery, TraceSummary, paged

T = TypeVar("T")

_TRACE = TypeAdapter(Trace)
_GROUP = 256


class TraceStore:
    """Keeps traces. All methods may be called from any event loop; after a failure they raise LedgerError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: deque[tuple[dict[str, Any], Future[None]]] = deque()

    async def save(self, trace: Trace) -> None:
        """Store `trace`, replacing an earlier one of the same id; it is durable when this returns."""
        saved: Future[None] = Future()
        self._pending.append((_row(trace), saved))
        self._database.submit(self._flush)
        await asyncio.wrap_future(saved)

    async def get(self, trace_id: str) -> Trace | None:
        """The trace of this id. Raises LedgerError when another version of the appliance wrote it otherwise."""
        query = select(traces.c.body).where(traces.c.trace_id == trace_id)
        body = await self._asked(lambda connection: connection.execute(query).scalar_one_or_none())
        return None if body is None else _read(trace_id, body)

    async def has(self, trace_id: str) -> bool:
        """Whether there is a trace of this id, readable or not."""
        query = select(traces.c.trace_id).where(traces.c.trace_id == trace_id)
        return await self._asked(lambda connection: connection.execute(query).scalar_one_or_none() is not None)

    async def page(self, query: TraceQuery) -> TracePage:
        """One page, newest first. Raises InvalidRequest when the cursor is none."""
        statement = query.statement()
        rows = await self._asked(lambda connection: connection.execute(statement).mappings().all())
        lines = tuple(TraceSummary(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows)
        return paged(lines, query.limit)

    async def prune(self, older_than_unix_s: float, now_unix_s: float) -> int:
        """Delete traces made before this wall time, and those whose own time is over; returns how many.

        Group by group, so that what is saved meanwhile need not wait for all of them.
        """
        older = (
            select(traces.c.trace_id)
            .where(
                or_(
                    and_(traces.c.delete_after_unix_s.is_(None), traces.c.created_unix_s < older_than_unix_s),
                    traces.c.delete_after_unix_s < now_unix_s,
                )
            )
            .limit(_GROUP)
        )
        group = delete(traces).where(traces.c.trace_id.in_(older.scalar_subquery()))
        pruned = 0
        while count := await self._database.run(lambda connection: connection.execute(group).rowcount):
            pruned += count
        return pruned

    async def _asked(self, question: Callable[[Connection], T]) -> T:
        """In the writing thread, so that what is being saved is found."""
        return await self._database.run(question, reads_only=True)

    def _flush(self) -> None:
        """Write all that is pending, up to a group; runs in the thread. Every save gets the outcome of its group."""
        group: list[tuple[dict[str, Any], Future[None]]] = []
        while self._pending and len(group) < _GROUP:
            group.append(self._pending.popleft())
        if not group:
            return
        error = self._write([row for row, _ in group])
        for _, saved in group:
            if not saved.set_running_or_notify_cancel():
                continue
            if error is None:
                saved.set_result(None)
            else:
                saved.set_exception(error)

    def _write(self, rows: list[dict[str, Any]]) -> LedgerError | None:
        newest = {row["trace_id"]: row for row in rows}
        try:
            with self._database.begin() as connection:
                connection.execute(delete(traces).where(traces.c.trace_id.in_(list(newest))))
                connection.execute(insert(traces), list(newest.values()))
        except LedgerError as error:
            return error
        return None


def _read(trace_id: str, body: str) -> Trace:
    """Fields that this version added get their defaults, fields that it does not know are left out."""
    try:
        return _TRACE.validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise LedgerError(
            f"trace {trace_id} was stored by another version of the appliance and can't be read by this one "
            f"({where}: {problem['msg']}); read it with the version that wrote it"
        ) from None


def _row(trace: Trace) -> dict[str, Any]:
    return {
        "trace_id": trace.trace_id,
        "request_id": trace.request_id,
        "tenant": trace.tenant,
        "requested_model": trace.requested_model.replace("\0", "\N{REPLACEMENT CHARACTER}"),  # PostgreSQL has no NUL
        "strategy": trace.decision.strategy,
        "outcome": trace.outcome.value,
        "created_unix_s": trace.created_unix_s,
        "duration_s": trace.duration_s,
        "calls": len(trace.calls),
        "total_tokens": trace.usage.total_tokens,
        "delete_after_unix_s": trace.delete_after_unix_s,
        "body": _TRACE.dump_json(trace).decode(),
    }
