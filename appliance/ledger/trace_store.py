"""Traces in the ledger, each with its usage rows: saves that come together share a transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, Connection, delete, insert, select, union

from appliance.domain.trace import Outcome, Trace
from appliance.errors import LedgerError
from appliance.ledger.database import Database
from appliance.ledger.schema import traces, usage
from appliance.ledger.trace_query import TracePage, TraceQuery, TraceSummary, paged
from appliance.ledger.usage_store import UsageStore

T = TypeVar("T")

_TRACE = TypeAdapter(Trace)
_GROUP = 256


class TraceStore:
    """Keeps traces, and writes what their calls consumed in the same transaction.

    Requests of the fast path, of which `usage_store` has a row each, are found among them. All methods may be called
    from any event loop; after a failure they raise LedgerError.
    """

    def __init__(self, database: Database, usage_store: UsageStore | None = None) -> None:
        self._database = database
        self._usage = usage_store or UsageStore(database)
        self._pending: deque[tuple[Trace, Future[None]]] = deque()

    async def save(self, trace: Trace) -> None:
        """Store `trace`, replacing an earlier one of the same id; it is durable when this returns."""
        saved: Future[None] = Future()
        self._pending.append((trace, saved))
        self._database.submit(self._flush)
        await asyncio.wrap_future(saved)

    async def get(self, trace_id: str) -> Trace | None:
        """The trace of this id. Raises LedgerError when another version of the appliance wrote it otherwise."""
        query = select(traces.c.body).where(traces.c.trace_id == trace_id)
        body = await self._asked(lambda connection: connection.execute(query).scalar_one_or_none())
        return await self._usage.trace(trace_id) if body is None else _read(trace_id, body)

    async def has(self, trace_id: str) -> bool:
        """Whether there is a trace of this id, readable or not."""
        query = select(traces.c.trace_id).where(traces.c.trace_id == trace_id)
        found = await self._asked(lambda connection: connection.execute(query).scalar_one_or_none() is not None)
        return found or await self._usage.trace(trace_id) is not None

    async def settled(self) -> None:
        """Wait until what the fast path told has been written, as far as that is possible now."""
        await asyncio.wrap_future(self._usage.settle())

    async def known(self, trace_ids: Iterable[str]) -> frozenset[str]:
        """Those of these that have a trace, or a row of the fast path."""
        wanted, found = list(trace_ids), set[str]()
        self._usage.settle()
        for begin in range(0, len(wanted), _GROUP):
            part = wanted[begin : begin + _GROUP]
            queries = [select(table.c.trace_id).where(table.c.trace_id.in_(part)) for table in (traces, usage)]
            found |= await self._asked(lambda connection: set(connection.execute(union(*queries)).scalars()))  # noqa: B023 (awaited at once)
        return frozenset(found)

    async def page(self, query: TraceQuery) -> TracePage:
        """One page, newest first. Raises InvalidRequest when the cursor is none."""
        statement = query.statement()
        rows = await self._asked(lambda connection: connection.execute(statement).mappings().all())
        lines = tuple(TraceSummary(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows)
        both = (*lines, *await self._usage.passed_through(query))
        newest_first = sorted(both, key=lambda line: (line.created_unix_s, line.trace_id), reverse=True)
        return paged(tuple(newest_first), query.limit)

    async def prune(self, older_than_unix_s: float, now_unix_s: float) -> int:
        """Delete traces made before this wall time, and those whose own end has come; returns how many.

        Group by group, so that what is saved meanwhile need not wait for all of them.
        """
        made_before, ended = traces.c.created_unix_s < older_than_unix_s, traces.c.delete_after_unix_s <= now_unix_s
        others = made_before & traces.c.delete_after_unix_s.is_(None)
        return await self._deleted(others) + await self._deleted(ended)

    async def _deleted(self, which: ColumnElement[bool]) -> int:
        found = select(traces.c.trace_id).where(which).limit(_GROUP)
        group = delete(traces).where(traces.c.trace_id.in_(found.scalar_subquery()))
        deleted = 0
        while count := await self._database.run(lambda connection: connection.execute(group).rowcount):
            deleted += count
        return deleted

    async def _asked(self, question: Callable[[Connection], T]) -> T:
        """In the writing thread, so that what is being saved is found."""
        return await self._database.run(question, reads_only=True)

    def _flush(self) -> None:
        """Write all that is pending, up to a group; runs in the thread. Every save gets the outcome of its group."""
        group: list[tuple[Trace, Future[None]]] = []
        while self._pending and len(group) < _GROUP:
            group.append(self._pending.popleft())
        if not group:
            return
        error = self._write([trace for trace, _ in group])
        for _, saved in group:
            if not saved.set_running_or_notify_cancel():
                continue
            if error is None:
                saved.set_result(None)
            else:
                saved.set_exception(error)

    def _write(self, group: Sequence[Trace]) -> LedgerError | None:
        newest = {trace.trace_id: trace for trace in group}
        try:
            rows = [_row(trace) for trace in newest.values()]
            with self._database.begin() as connection:
                connection.execute(delete(traces).where(traces.c.trace_id.in_(list(newest))))
                connection.execute(insert(traces), rows)
                self._usage.replace(connection, newest.values())
        except LedgerError as error:
            return error
        except Exception as error:  # a trace that can't be written down must not leave its group waiting for ever
            return LedgerError(f"a trace can't be stored: {type(error).__name__}")
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
        "body": _TRACE.dump_json(trace).decode(),
        "delete_after_unix_s": trace.delete_after_unix_s,
    }
