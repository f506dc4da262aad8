"""A page that a killed process left in its journal → the trace of that request. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from appliance.domain.forecast import Reduction
from appliance.domain.journal import CallSent, JournalEvent, RequestBegun, RequestEnded
from appliance.domain.request import Usage
from appliance.domain.trace import CallRecord, Decision, Fallback, Outcome, TaskRecord, Trace, VerdictRecord
from appliance.domain.usage import PassThroughCall

ERROR = "the appliance was ended while it answered"


def trace_of(events: Sequence[JournalEvent], heard_unix_s: float) -> Trace | None:
    """The trace up to `heard_unix_s`, when the request was last heard of; None where its beginning is missing.

    What was booked is taken as booked. A call that was sent and not heard of again counts for its prompt, by
    estimate, as every call does that is cut off. A request that had ended keeps its outcome.
    """
    begun = next((event for event in events if isinstance(event, RequestBegun)), None)
    if begun is None:
        return None
    ended = next((event for event in events if isinstance(event, RequestEnded)), None)
    duration_s = ended.duration_s if ended else max(0.0, heard_unix_s - begun.created_unix_s)
    calls = _calls(events, duration_s)
    usage = sum((call.usage for call in calls), Usage())
    return Trace(
        trace_id=begun.trace_id,
        request_id=begun.request_id,
        tenant=begun.tenant,
        requested_model=begun.requested_model,
        created_unix_s=begun.created_unix_s,
        duration_s=duration_s,
        decision=next((event for event in events if isinstance(event, Decision)), Decision("none", ())),
        tasks=_tasks(events, calls),
        calls=calls,
        verdicts=tuple(event for event in events if isinstance(event, VerdictRecord)),
        fallbacks=tuple(event for event in events if isinstance(event, Fallback)),
        budget=replace(
            begun.budget,
            used_calls=sum(bool(call.engine_id) for call in calls),
            used_tokens=usage.total_tokens,
            used_wall_s=duration_s,
            used_gpu_s=sum(call.gpu_s for call in calls),
        ),
        usage=usage,
        outcome=ended.outcome if ended else Outcome.INTERRUPTED,
        error=ended.error if ended else ERROR,
        question=begun.request.messages[-1].content if begun.request and begun.request.messages else None,
        answer=ended.answer if ended else None,
        request=begun.request,
        origin=begun.origin,
        reduced=tuple(event for event in events if isinstance(event, Reduction)),
        delete_after_unix_s=begun.delete_after_unix_s,
    )


def pass_through_of(events: Sequence[JournalEvent], heard_unix_s: float) -> PassThroughCall | None:
    """The same for a request of the fast path, which the journal hears of at its begin and at its end.

    None where it was no such request.
    """
    told = [event for event in events if isinstance(event, PassThroughCall)]
    if len(told) != 1:
        return told[-1] if told else None
    begun = told[0]
    ended_s = max(begun.sent_s, heard_unix_s - begun.started_unix_s)
    return replace(begun, ended_s=ended_s, outcome=Outcome.INTERRUPTED, error=ERROR)


def _calls(events: Sequence[JournalEvent], duration_s: float) -> tuple[CallRecord, ...]:
    settled: Mapping[str, CallRecord] = {event.call_id: event for event in events if isinstance(event, CallRecord)}
    lost = {event.call_id: event for event in events if isinstance(event, CallSent) and event.call_id not in settled}
    cut = (_cut(sent, duration_s) for sent in lost.values())
    return tuple(sorted((*settled.values(), *cut), key=lambda call: call.started_s))


def _cut(sent: CallSent, duration_s: float) -> CallRecord:
    return CallRecord(
        call_id=sent.call_id,
        task_id=sent.task_id,
        role=sent.role,
        model_id=sent.model_id,
        engine_id=sent.engine_id,
        attempt=sent.attempt,
        started_s=sent.started_s,
        queue_s=sent.queue_s,
        engine_s=max(0.0, duration_s - sent.started_s - sent.queue_s),
        first_token_s=None,
        usage=Usage(sent.prompt_tokens, 0),
        outcome=Outcome.INTERRUPTED,
        error=ERROR,
        usage_estimated=True,
        reserved_tokens=sent.reserved_tokens,
    )


def _tasks(events: Sequence[JournalEvent], calls: Sequence[CallRecord]) -> tuple[TaskRecord, ...]:
    """The last that was heard of each task; one with calls and without an end was interrupted."""
    last = {event.task_id: event for event in events if isinstance(event, TaskRecord)}
    worked_on = {call.task_id for call in calls}
    return tuple(
        replace(task, outcome=Outcome.INTERRUPTED)
        if task.outcome is Outcome.SKIPPED and task.task_id in worked_on
        else task
        for task in last.values()
    )
