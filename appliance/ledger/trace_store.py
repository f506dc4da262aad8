"""Traces in SQLite (WAL): one thread writes and reads, saves that come together share a transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Engine, create_engine, delete, event, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from appliance.domain.trace import Outcome, Trace
from appliance.errors import ConfigError, LedgerError
from appliance.ledger.schema import prepare, traces
from appliance.ledger.trace_query import TracePage, TraceQuery, TraceSummary, paged

T = TypeVar("T")

_TRACE = TypeAdapter(Trace)
_SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000")
_GROUP = 256


class TraceStore:
    """Keeps traces. `file_or_url` is a path, or an SQLAlchemy URL (anything with `://`).

    Raises ConfigError when the file can't be opened, is no ledger, or has another schema version. All methods may be
    called from any event loop; after a failed write they raise SQLAlchemyError, which never shows contents.
    """

    def __init__(self, file_or_url: str | Path) -> None:
        self._engine = _open(file_or_url)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._pending: deque[tuple[dict[str, Any], Future[None]]] = deque()

    async def save(self, trace: Trace) -> None:
        """Store `trace`, replacing an earlier one of the same id; it is durable when this returns."""
        saved: Future[None] = Future()
        self._pending.append((_row(trace), saved))
        self._thread.submit(self._flush)
        await asyncio.wrap_future(saved)

    async def get(self, trace_id: str) -> Trace | None:
        """The trace of this id. Raises LedgerError when another version of the appliance wrote it otherwise."""
        query = select(traces.c.body).where(traces.c.trace_id == trace_id)
        body = await self._run(lambda connection: connection.execute(query).scalar_one_or_none())
        return None if body is None else _read(trace_id, body)

    async def has(self, trace_id: str) -> bool:
        """Whether there is a trace of this id, readable or not."""
        query = select(traces.c.trace_id).where(traces.c.trace_id == trace_id)
        return await self._run(lambda connection: connection.execute(query).scalar_one_or_none() is not None)

    async def page(self, query: TraceQuery) -> TracePage:
        """One page, newest first. Raises InvalidRequest when the cursor is none."""
        statement = query.statement()
        rows = await self._run(lambda connection: connection.execute(statement).mappings().all())
        lines = tuple(TraceSummary(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows)
        return paged(lines, query.limit)

    async def prune(self, older_than_unix_s: float) -> int:
        """Delete traces made before this wall time; returns how many.

        Group by group, so that what is saved meanwhile need not wait for all of them.
        """
        older = select(traces.c.trace_id).where(traces.c.created_unix_s < older_than_unix_s).limit(_GROUP)
        group = delete(traces).where(traces.c.trace_id.in_(older.scalar_subquery()))
        pruned = 0
        while count := await self._run(lambda connection: connection.execute(group).rowcount):
            pruned += count
        return pruned

    async def close(self) -> None:
        """Write what is pending and close the file. Nothing else may be called afterwards."""
        await asyncio.wrap_future(self._thread.submit(self._engine.dispose))
        self._thread.shutdown()

    async def _run(self, work: Callable[[Connection], T]) -> T:
        def in_transaction() -> T:
            with self._engine.begin() as connection:
                return work(connection)

        return await asyncio.wrap_future(self._thread.submit(in_transaction))

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

    def _write(self, rows: list[dict[str, Any]]) -> SQLAlchemyError | None:
        newest = {row["trace_id"]: row for row in rows}
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(traces).where(traces.c.trace_id.in_(list(newest))))
                connection.execute(insert(traces), list(newest.values()))
        except SQLAlchemyError as error:
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
        "requested_model": trace.requested_model,
        "strategy": trace.decision.strategy,
        "outcome": trace.outcome.value,
        "created_unix_s": trace.created_unix_s,
        "duration_s": trace.duration_s,
        "calls": len(trace.calls),
        "total_tokens": trace.usage.total_tokens,
        "body": _TRACE.dump_json(trace).decode(),
    }


def _open(file_or_url: str | Path) -> Engine:
    url = str(file_or_url)
    if "://" not in url:
        url = f"sqlite:///{_private_file(Path(file_or_url))}"
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False}, hide_parameters=True)
    event.listen(engine, "connect", _set_pragmas)
    try:
        with engine.begin() as connection:
            prepare(connection, str(file_or_url))
    except SQLAlchemyError as error:
        engine.dispose()
        reason = str(getattr(error, "orig", None) or error)
        raise ConfigError(
            f"{file_or_url}: can't be opened as a ledger ({reason}); move it away, or name another under ledger.file"
        ) from None
    except ConfigError:
        engine.dispose()
        raise
    return engine


def _private_file(path: Path) -> Path:
    """Make the file readable by its owner only: it may hold prompts."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise ConfigError(f"{path}: can't be made ({error.strerror}); name another file under ledger.file") from None
    return path


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
