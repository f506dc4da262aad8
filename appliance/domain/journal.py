"""What a request's journal hears of while it is answered, so that its trace can be made should the process end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from appliance.domain.forecast import Reduction
from appliance.domain.model import Role
from appliance.domain.request import UNRELATED, ChatRequest, Origin
from appliance.domain.trace import BudgetRecord, CallRecord, Decision, Fallback, Outcome, TaskRecord, VerdictRecord
from appliance.domain.usage import PassThroughCall


@dataclass(frozen=True, slots=True)
class RequestBegun:
    """A request was accepted. `budget` has its limits; `request` is there only where the policy keeps contents."""

    trace_id: str
    request_id: str
    tenant: str
    requested_model: str
    created_unix_s: float
    budget: BudgetRecord
    origin: Origin = UNRELATED
    request: ChatRequest | None = None
    delete_after_unix_s: float | None = None


@dataclass(frozen=True, slots=True)
class CallSent:
    """A call went to an engine. `prompt_tokens` are a guess; times as in `CallRecord`."""

    call_id: str
    task_id: str
    role: Role
    model_id: str
    engine_id: str
    attempt: int
    started_s: float
    queue_s: float
    prompt_tokens: int
    reserved_tokens: int


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """A request was answered, or ended otherwise; its trace is about to be saved."""

    outcome: Outcome
    error: str
    duration_s: float
    answer: str | None = None


Begun = RequestBegun | PassThroughCall
"""What a page begins with. That of a request of the fast path has its call as it is when nobody hears of it again, and,
until it is in the ledger, as it ended."""

JournalEvent = (
    Begun | Decision | TaskRecord | CallSent | CallRecord | VerdictRecord | Fallback | Reduction | RequestEnded
)  # a task's record comes when it is planned, and again when it has ended


class JournalPage(Protocol):
    """The part of the journal that belongs to one request."""

    def note(self, event: JournalEvent) -> None:
        """Write one event, soon. It never waits and never fails."""

    def tear_out(self) -> None:
        """The trace is saved: the page is worth nothing any more."""


class Journal(Protocol):
    """Where requests are noted while they are answered."""

    def begin(self, event: Begun) -> JournalPage:
        """A new page."""

    def begin_later(self, cut_off: Callable[[], PassThroughCall]) -> JournalPage:
        """A new page for a request that is mostly over before the page is written.

        `cut_off` tells what is known of it by then; it is called only where nothing else was noted before, maybe in
        another thread.
        """


class _Nowhere:
    def begin(self, event: Begun) -> JournalPage:
        return self

    def begin_later(self, cut_off: Callable[[], PassThroughCall]) -> JournalPage:
        return self

    def note(self, event: JournalEvent) -> None:
        return

    def tear_out(self) -> None:
        return


NO_JOURNAL: Journal = _Nowhere()
NO_PAGE: JournalPage = _Nowhere()
"""Nothing is noted: for tests and benchmarks of other things."""
