"""Gathers what is done for one request and makes its trace. Pure; contents are dropped at the door unless kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from appliance.coordinator.tallies import Tallies, tallied
from appliance.domain.forecast import Reduction
from appliance.domain.journal import NO_PAGE, CallSent, JournalPage, RequestEnded
from appliance.domain.model import Role
from appliance.domain.request import UNRELATED, ChatRequest, Origin, Usage
from appliance.domain.trace import (
    BudgetRecord,
    CallRecord,
    Decision,
    Fallback,
    Outcome,
    TaskRecord,
    Trace,
    VerdictRecord,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose request it is. Times are wall time; None: its trace is deleted when the ledger's settings say."""

    trace_id: str
    request_id: str
    tenant: str
    requested_model: str
    created_unix_s: float
    origin: Origin = UNRELATED
    delete_after_unix_s: float | None = None


@dataclass(slots=True)
class Recorder:
    """The records of one request, in the order in which things ended; the journal's `page` hears of each at once."""

    identity: Identity
    keep_content: bool
    page: JournalPage = NO_PAGE
    decision: Decision = field(default_factory=lambda: Decision("none", ()))
    reduced: list[Reduction] = field(default_factory=list)
    _calls: list[CallRecord] = field(default_factory=list)
    _verdicts: list[VerdictRecord] = field(default_factory=list)
    _fallbacks: list[Fallback] = field(default_factory=list)
    _tasks: dict[str, TaskRecord] = field(default_factory=dict)

    def decided(self, decision: Decision) -> None:
        """How the request is answered."""
        self.decision = decision
        self.page.note(decision)

    def left_out(self, reduction: Reduction) -> None:
        """A part of the whole plan does not fit and is not done."""
        self.reduced.append(reduction)
        self.page.note(reduction)

    def sent(self, call: CallSent) -> None:
        """A call went to an engine."""
        self.page.note(call)

    def call(self, record: CallRecord) -> None:
        """An engine call ended."""
        bare = self.keep_content or (record.prompt is None and record.answer is None)
        self._calls.append(record if bare else replace(record, prompt=None, answer=None))
        self.page.note(self._calls[-1])

    def verdict(self, record: VerdictRecord) -> None:
        """A verdict was given."""
        self._verdicts.append(record if self.keep_content else replace(record, reason=""))
        self.page.note(self._verdicts[-1])

    def fallback(self, role: Role, reason: str, action: str) -> None:
        """The request goes on another way; neither text may quote contents."""
        self._fallbacks.append(Fallback(role, reason, action))
        self.page.note(self._fallbacks[-1])

    def planned(self, record: TaskRecord) -> None:
        """A step of a plan; it stands as skipped until it is heard of again."""
        self._tasks.pop(record.task_id, None)  # of a plan that was rejected: now it takes its place in this one
        self.task(record)

    def task(self, record: TaskRecord) -> None:
        """A task ended; replaces what was known of it."""
        bare = self.keep_content or (record.instruction is None and record.result is None)
        kept = record if bare else replace(record, instruction=None, result=None)
        self._tasks[record.task_id] = kept
        self.page.note(kept)

    def ended(self, trace: Trace) -> None:
        """The request is over; `trace` tells all of it."""
        self.page.note(RequestEnded(trace.outcome, trace.error, trace.duration_s, trace.answer))

    @property
    def usage(self) -> Usage:
        """Tokens of all calls, failed ones included."""
        return tallied(self._calls).whole.usage

    def tallies(self) -> Tallies:
        """What all calls took, as a whole, by role and by model."""
        return tallied(self._calls)

    def trace(
        self,
        budget: BudgetRecord,
        outcome: Outcome,
        error: str,
        question: str | None,
        answer: str | None,
        request: ChatRequest,
    ) -> Trace:
        """The whole record."""
        return Trace(
            trace_id=self.identity.trace_id,
            request_id=self.identity.request_id,
            tenant=self.identity.tenant,
            requested_model=self.identity.requested_model,
            created_unix_s=self.identity.created_unix_s,
            duration_s=budget.used_wall_s,
            decision=self.decision,
            tasks=tuple(self._tasks.values()),
            calls=tuple(sorted(self._calls, key=lambda call: call.started_s)),
            verdicts=tuple(self._verdicts),
            fallbacks=tuple(self._fallbacks),
            budget=budget,
            usage=self.usage,
            outcome=outcome,
            error=error,
            question=question if self.keep_content else None,
            answer=answer if self.keep_content else None,
            request=request if self.keep_content else None,
            origin=self.identity.origin,
            reduced=tuple(self.reduced),
            delete_after_unix_s=self.identity.delete_after_unix_s,
        )
