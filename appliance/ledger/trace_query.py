"""Which traces a list shows, page by page, newest first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select, tuple_

from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.trace import Outcome
from appliance.errors import InvalidRequest
from appliance.ledger.schema import traces, usage


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """A trace in one line. `created_unix_s` is wall time, `duration_s` seconds."""

    trace_id: str
    request_id: str
    tenant: str
    requested_model: str
    strategy: str
    outcome: Outcome
    created_unix_s: float
    duration_s: float
    calls: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Traces of one tenant, made at `since_unix_s` or later, of one outcome and strategy where those are given.

    `cursor` is what the page before gave as `next_cursor`; `limit` is the length of a page.
    """

    tenant: str
    since_unix_s: float | None = None
    outcome: Outcome | None = None
    strategy: str | None = None
    cursor: str | None = None
    limit: int = 20

    def statement(self) -> Select[tuple[object, ...]]:
        """One page and, where there are more, the first line of the next. Raises InvalidRequest: a broken cursor."""
        when, found = traces.c.created_unix_s, traces.c.trace_id
        columns = [column for column in traces.columns if column.name not in ("body", "delete_after_unix_s")]
        query = select(*columns).where(traces.c.tenant == self.tenant)
        if self.since_unix_s is not None:
            query = query.where(when >= self.since_unix_s)
        if self.outcome is not None:
            query = query.where(traces.c.outcome == self.outcome.value)
        if self.strategy is not None:
            query = query.where(traces.c.strategy == self.strategy)
        if self.cursor is not None:
            query = query.where(tuple_(when, found) < tuple_(*_position(self.cursor)))
        return query.order_by(when.desc(), found.desc()).limit(self.limit + 1)

    def of_the_fast_path(self) -> Select[tuple[Any, ...]] | None:
        """The same page of requests that have a usage row and no trace; None where the query wants none of them."""
        if self.strategy not in (None, PASSTHROUGH):
            return None
        when, found = usage.c.started_unix_s, usage.c.trace_id
        query = select(usage).where(usage.c.tenant == self.tenant, usage.c.status.is_not(None))
        if self.since_unix_s is not None:
            query = query.where(when >= self.since_unix_s)
        if self.outcome is not None:
            query = query.where(usage.c.outcome == self.outcome.value)
        if self.cursor is not None:
            query = query.where(tuple_(when, found) < tuple_(*_position(self.cursor)))
        return query.order_by(when.desc(), found.desc()).limit(self.limit + 1)


@dataclass(frozen=True, slots=True)
class TracePage:
    """Lines of a list, and the cursor of the page after it where there is one."""

    traces: tuple[TraceSummary, ...]
    next_cursor: str | None = None


def paged(lines: tuple[TraceSummary, ...], limit: int) -> TracePage:
    """What `TraceQuery.statement` found, as a page of at most `limit` lines."""
    if len(lines) <= limit:
        return TracePage(lines)
    last = lines[limit - 1]
    return TracePage(lines[:limit], f"{last.created_unix_s!r}~{last.trace_id}")


def _position(cursor: str) -> tuple[float, str]:
    when, _, trace_id = cursor.partition("~")
    try:
        moment = float(when)
    except ValueError:
        moment = math.nan
    if not math.isfinite(moment) or not trace_id:
        raise InvalidRequest("cursor: not one of ours; take next_cursor of the page before", param="cursor")
    return moment, trace_id
