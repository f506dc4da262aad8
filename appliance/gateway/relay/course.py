"""One request that the fast path carries: what is known of it before, while and after it is carried."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from starlette.types import Send

from appliance.access.limits import Admitted
from appliance.dispatch.places import Place, Under
from appliance.domain.journal import NO_PAGE, JournalPage
from appliance.domain.request import Usage
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Outcome
from appliance.domain.usage import PassThroughCall
from appliance.engines.refusals import raise_rejected
from appliance.engines.relay_client import broken_off
from appliance.engines.relay_connection import AnswerBroken
from appliance.errors import ApplianceError, EngineRejected, EngineUnavailable
from appliance.gateway.relay.at_once import AtOnce
from appliance.gateway.relay.passage import Passage
from appliance.gateway.relay.record import Record
from appliance.gateway.relay.tail import StreamTail, Unreadable
from appliance.gateway.relay.wish import Wish

GONE: Final = 499
"""Status for the log and the metrics, as nginx has it; nobody is there to receive it."""

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True, eq=False)
class Load:
    """A request with a place on an engine. Times are on the carrier's clock."""

    path: str
    tenant: Tenant
    wish: Wish
    under: Under
    place: Place | None
    admitted: Admitted
    request_id: str | None
    traceparent: str | None
    started_s: float
    deadline_s: float
    prefix: int | None = None
    body: bytes = b""


@dataclass(slots=True, eq=False)
class Course:
    """How it goes: what is known of a load while it is carried.

    `limits` are the headers that tell of the tenant's; `record` is None where no audit is kept.
    """

    load: Load
    passage: Passage
    send: Send
    at_once: AtOnce | None
    limits: Headers
    request_id: str
    trace_id: str
    last_place: Place
    record: Record | None
    page: JournalPage = NO_PAGE
    attempts: int = 1
    status: int | None = None
    sent_s: float = 0.0
    first_byte_s: float | None = None
    usage: Usage | None = None
    events: int = 0
    spoke_s: float | None = None
    gaps_s: list[float] = field(default_factory=list)
    finish_reason: str | None = None
    outcome: Outcome = Outcome.ERROR
    error: str = ""
    word: str = ""

    @property
    def headers(self) -> Headers:
        """Those of our own, which every answer has."""
        ids = (b"x-request-id", self.request_id.encode()), (b"x-trace-id", self.trace_id.encode())
        return [*ids, *self.limits]

    def heard(self, events: int, now_s: float) -> None:
        """So many events have gone on by now; the first one says who speaks."""
        if events > max(1, self.events):
            if self.spoke_s is not None:
                self.gaps_s.append(now_s - self.spoke_s)
            self.spoke_s = now_s
        self.events = events

    def call(self, usage: Usage, gpu_s: float, now_s: float, unix_s: float, *, estimated: bool) -> PassThroughCall:
        """As it ended at `now_s`, which is `unix_s` in wall time."""
        load, engine = self.load, self.last_place.engine
        started_s = load.started_s
        return PassThroughCall(
            request_id=self.request_id,
            trace_id=self.trace_id,
            tenant=load.tenant.name,
            requested_model=load.wish.model,
            model_id=load.wish.model,
            engine_id=engine.engine_id,
            node=engine.node,
            started_unix_s=unix_s - (now_s - started_s),
            sent_s=self.sent_s - started_s if self.sent_s > started_s else 0.0,
            first_byte_s=None if self.first_byte_s is None else self.first_byte_s - started_s,
            ended_s=now_s - started_s,
            usage=usage,
            gpu_s=gpu_s,
            outcome=self.outcome,
            status=self.status or GONE,
            path=load.path,
            attempts=self.attempts,
            finish_reason=self.finish_reason,
            usage_estimated=estimated,
            error=self.error,
            traceparent=load.traceparent,
            tenant_class=load.tenant.policy,
        )


def spent(course: Course) -> tuple[Usage, bool]:
    """The engine's own count, else an estimate (True); nothing for a call that failed before its first token.

    The first event of a stream says who speaks.
    """
    if course.usage is not None:
        return course.usage, False
    cut_short = course.passage.gone or course.passage.late or course.outcome is Outcome.CANCELLED
    if course.outcome is Outcome.OK or course.events > 1 or (cut_short and course.sent_s):
        return Usage(course.load.wish.prompt_tokens_estimate, max(0, course.events - 1)), True
    return Usage(), False


def ours(place: Place, error: Exception) -> ApplianceError:
    """What went wrong with an engine's answer, in the words of the tree."""
    engine = place.engine
    if isinstance(error, AnswerBroken):
        return broken_off(engine, error)
    if isinstance(error, Unreadable):
        return EngineRejected(f"engine {engine.engine_id} sent an answer of an unknown shape: {error}", status=502)
    assert isinstance(error, ApplianceError)
    return error


def broken_stream(place: Place, tail: StreamTail) -> ApplianceError:
    """Why a stream that has ended is no answer."""
    engine, failed = place.engine, tail.failed
    if failed is None:
        return EngineUnavailable(f"engine {engine.engine_id} ended its answer in the middle")
    if failed.aborted:
        return EngineUnavailable(f"engine {engine.engine_id} broke off its answer; it is stopping")
    try:
        raise_rejected(engine, failed.status, failed.detail, "in the middle of its answer")
    except ApplianceError as error:
        return error
