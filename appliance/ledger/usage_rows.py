"""A trace or a pass-through request → its rows in the usage table, and such a row → a trace of one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row

from appliance.domain.model import Role
from appliance.domain.request import Origin, Usage
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.trace import BudgetRecord, CallRecord, Decision, Outcome, Trace
from appliance.domain.usage import PassThroughCall, Terms
from appliance.ledger.schema import usage

UsageRow = tuple[Any, ...]
"""The values of one row, in the order of the table's columns."""

ONLY_CALL: Final = "c1"
ONLY_TASK: Final = "answer"
REASON: Final = "the caller named the model; one engine answered, word for word"

_COLUMNS: Final = ", ".join(column.name for column in usage.columns)


def _insert(placeholder: str) -> str:
    places = ", ".join([placeholder] * len(usage.columns))
    return f"INSERT INTO usage ({_COLUMNS}) VALUES ({places})"  # noqa: S608 (constants of the schema)


_INSERT: Final = {"sqlite": _insert("?"), "postgresql": _insert("%s")}
_ONCE: Final = " ON CONFLICT (trace_id, call_id) DO NOTHING"


def insert_once(connection: Connection, rows: Sequence[UsageRow]) -> None:
    """Write rows; one that is there already stays as it is, so nothing is charged twice.

    Past SQLAlchemy's compiler, which takes longer for a row than the database.
    """
    if rows:
        connection.exec_driver_sql(_INSERT[connection.dialect.name] + _ONCE, list(rows))


def rows_of(trace: Trace, terms: Terms) -> Iterator[UsageRow]:
    """One row for each call that went to an engine."""
    for call in trace.calls:
        if not call.engine_id:
            continue
        charged, sent_unix_s = terms.charged(call.engine_id), trace.created_unix_s + call.started_s + call.queue_s
        yield (
            trace.trace_id,
            call.call_id,
            trace.request_id,
            trace.tenant,
            trace.decision.strategy,
            call.role.value,
            call.model_id,
            call.engine_id,
            charged.node,
            call.attempt,
            trace.created_unix_s + call.started_s,
            call.queue_s,
            call.engine_s,
            call.first_token_s,
            call.usage.prompt_tokens,
            call.usage.completion_tokens,
            call.usage.cached_tokens,
            call.usage_estimated,
            call.gpu_s,
            terms.energy_j(call.engine_id, sent_unix_s, sent_unix_s + call.engine_s, call.gpu_s),
            charged.price_per_gpu_hour,
            charged.currency,
            call.outcome.value,
            call.finish_reason,
            "",
            *(None, None, None, None),
        )


def pass_through_row(call: PassThroughCall, terms: Terms) -> UsageRow:
    """The only row of a pass-through request."""
    charged, began_s = terms.charged(call.engine_id), call.started_unix_s
    return (
        call.trace_id,
        ONLY_CALL,
        call.request_id,
        call.tenant,
        PASSTHROUGH,
        Role.GENERALIST.value,
        call.model_id,
        call.engine_id,
        call.node or charged.node,
        call.attempts,
        began_s,
        call.sent_s,
        call.ended_s - call.sent_s,
        None if call.first_byte_s is None else call.first_byte_s - call.sent_s,
        call.usage.prompt_tokens,
        call.usage.completion_tokens,
        call.usage.cached_tokens,
        call.usage_estimated,
        call.gpu_s,
        terms.energy_j(call.engine_id, began_s + call.sent_s, began_s + call.ended_s, call.gpu_s),
        charged.price_per_gpu_hour,
        charged.currency,
        call.outcome.value,
        call.finish_reason,
        call.error.replace("\0", ""),
        call.requested_model.replace("\0", ""),
        call.path,
        call.status,
        call.traceparent,
    )


def pass_through_trace(row: Row[Any]) -> Trace:
    """The trace of a pass-through request, made of its row."""
    call = CallRecord(
        call_id=row.call_id,
        task_id=ONLY_TASK,
        role=Role(row.role),
        model_id=row.model,
        engine_id=row.engine,
        attempt=row.attempt,
        started_s=0.0,
        queue_s=row.queue_s,
        engine_s=row.engine_s,
        first_token_s=row.first_token_s,
        usage=Usage(row.prompt_tokens, row.completion_tokens, row.cached_tokens),
        outcome=Outcome(row.outcome),
        error=row.error,
        usage_estimated=bool(row.usage_estimated),
        gpu_s=row.gpu_s,
        finish_reason=row.finish_reason,
    )
    return _trace_of_one(
        call, row.trace_id, row.request_id, row.tenant, row.requested_model, row.started_unix_s, row.traceparent
    )


def trace_of_pass_through(call: PassThroughCall) -> Trace:
    """The same of the call itself."""
    record = CallRecord(
        call_id=ONLY_CALL,
        task_id=ONLY_TASK,
        role=Role.GENERALIST,
        model_id=call.model_id,
        engine_id=call.engine_id,
        attempt=call.attempts,
        started_s=0.0,
        queue_s=call.sent_s,
        engine_s=call.ended_s - call.sent_s,
        first_token_s=None if call.first_byte_s is None else call.first_byte_s - call.sent_s,
        usage=call.usage,
        outcome=call.outcome,
        error=call.error,
        usage_estimated=call.usage_estimated,
        gpu_s=call.gpu_s,
        finish_reason=call.finish_reason,
    )
    return _trace_of_one(
        record,
        call.trace_id,
        call.request_id,
        call.tenant,
        call.requested_model,
        call.started_unix_s,
        call.traceparent,
    )


def _trace_of_one(
    call: CallRecord,
    trace_id: str,
    request_id: str,
    tenant: str,
    requested_model: str,
    created_unix_s: float,
    traceparent: str | None,
) -> Trace:
    duration_s, tokens = call.queue_s + call.engine_s, call.usage.total_tokens
    return Trace(
        trace_id=trace_id,
        request_id=request_id,
        tenant=tenant,
        requested_model=requested_model,
        created_unix_s=created_unix_s,
        duration_s=duration_s,
        decision=Decision(PASSTHROUGH, (REASON,)),
        tasks=(),
        calls=(call,),
        verdicts=(),
        fallbacks=(),
        budget=BudgetRecord(1, tokens, duration_s, 1, tokens, duration_s, None, None, call.gpu_s),
        usage=call.usage,
        outcome=call.outcome,
        error=call.error,
        origin=Origin(traceparent),
    )
