"""What the audit chain knows of requests that a killed process never brought into the ledger. Pure.

A request's first byte leaves after its record only, so whatever a caller has seen of an answer is in the chain, also
where the process was killed before journal and ledger had heard of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from appliance.domain.request import Usage
from appliance.domain.trace import BudgetRecord, Decision, Outcome, Trace
from appliance.domain.usage import PassThroughCall
from appliance.ledger.audit_chain import parsed
from appliance.ledger.audit_records import ACCEPTED, FINISHED
from appliance.ledger.interrupted import ERROR

WITHIN_S: Final = 3_600.0
"""Of the chain's last hour only: what was older had been written long before."""

_CALL = TypeAdapter(PassThroughCall)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that began to be answered, by its records. `call` is what the fast path consumed, where it ended."""

    trace: Trace
    call: PassThroughCall | None


def seen(lines: Iterable[bytes]) -> Mapping[str, Seen]:
    """Trace id → the request, of the last records of a chain."""
    accepted: dict[str, Mapping[str, Any]] = {}
    finished: dict[str, Mapping[str, Any]] = {}
    last_s = 0.0
    for line in lines:
        record = parsed(line.removesuffix(b"\n"))
        if record is None:
            continue  # the first line of a part that was read may be half a one
        last_s = max(last_s, float(record.get("at", 0.0)))
        if record.get("kind") == ACCEPTED and _was_answered(record):
            accepted[record["trace_id"]] = record
        elif record.get("kind") == FINISHED:
            finished[record["trace_id"]] = record
    return {
        trace_id: _seen(record, finished.get(trace_id))
        for trace_id, record in accepted.items()
        if record["at"] >= last_s - WITHIN_S
    }


def _was_answered(record: Mapping[str, Any]) -> bool:
    """Not a refusal, and not a look at what was kept."""
    if record.get("refusal") or str(record.get("path", "")).startswith("/v1/traces/"):
        return False
    return 200 <= int(record.get("status", 200)) < 400


def _seen(accepted: Mapping[str, Any], finished: Mapping[str, Any] | None) -> Seen:
    ended_s = float(finished["at"]) - float(accepted["at"]) if finished else 0.0
    trace = Trace(
        trace_id=accepted["trace_id"],
        request_id=accepted["request_id"],
        tenant=accepted["tenant"],
        requested_model=accepted.get("model", ""),
        created_unix_s=accepted["at"],
        duration_s=max(0.0, ended_s),
        decision=Decision("none", ("only the audit chain has heard of it",)),
        tasks=(),
        calls=(),
        verdicts=(),
        fallbacks=(),
        budget=BudgetRecord(0, 0, 0.0, 0, 0, max(0.0, ended_s)),
        usage=Usage(),
        outcome=Outcome.INTERRUPTED,
        error=ERROR,
    )
    return Seen(trace, _call(finished))


def _call(finished: Mapping[str, Any] | None) -> PassThroughCall | None:
    try:
        return _CALL.validate_python(finished["call"]) if finished and "call" in finished else None
    except ValidationError:
        return None  # another version wrote it
