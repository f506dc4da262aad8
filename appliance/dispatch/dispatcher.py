"""One call to the best engine that serves its model, as a stream of chunks.

`stream` (retry once, before the first byte; name the engine on each chunk) → `_admitted` (wait for its turn, pick the
engine) → `Stay` (a place there) → the engine client. Who relays bytes takes a place by `place_now` instead.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from appliance.dispatch.admission import AdmissionLimits, Admit, Reject, decide
from appliance.dispatch.attained import Attained
from appliance.dispatch.breaker import BreakerState
from appliance.dispatch.endpoint_picker import Asleep, NoEngine, Picked
from appliance.dispatch.fair_line import FairLine
from appliance.dispatch.gpu_meter import Receipt
from appliance.dispatch.lines import Lines, Ticket
from appliance.dispatch.places import Manner, Place, Places, Under
from appliance.dispatch.prefix import prefix_of_messages
from appliance.dispatch.retry_budget import RetryBudget
from appliance.dispatch.served_models import ServedModels
from appliance.dispatch.stay import Stay
from appliance.domain.engine import EngineStatus
from appliance.domain.fleet import DemandEvent, Fleet, ModelRoom
from appliance.domain.policy import OPEN, DataPolicy
from appliance.domain.request import CallChunk, CallContext, EngineCall
from appliance.errors import EngineRejected, EngineUnavailable, Overloaded

_SNAPSHOT_CHECK_S = 0.1
"""The first of a line looks at the fleet this often, for engines that came or went meanwhile."""
_LINE_CHECK_S = 5.0
"""The others are woken when their turn comes; they look this often whether their model went to sleep."""
_LEAST_WAIT_S = 0.001
"""What is left of a wait may be too small for the clock to show that it is over."""

_MENDED_ELSEWHERE = {408, 429, 500, 502, 503, 504}
"""Statuses of one engine that another replica may not share."""


class ChatClient(Protocol):
    """What the request path needs of `engines.client.EngineClient`."""

    def stream_chat(self, engine: EngineStatus, call: EngineCall, ctx: CallContext) -> AsyncGenerator[CallChunk]:
        """Chunks as the engine makes them; `aclose()` or cancellation aborts the call in the engine."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """A call went to an engine. `queue_s` is the time it waited for that; `attempt` counts from 1.

    `receipt` tells what the call is charged, now and when it has ended, attempts before this one included.
    """

    engine_id: str
    queue_s: float
    attempt: int
    receipt: Receipt = field(compare=False, repr=False)


def _nobody(_sent: Sent) -> None:
    """The default listener."""


class Dispatcher:
    """Sends calls to engines; owns the places on them, the lines of waiting calls and the service of requests.

    `clock` is monotonic, in seconds. One instance belongs to one event loop.
    """

    def __init__(
        self,
        fleet: Fleet,
        client: ChatClient,
        clock: Callable[[], float] = time.monotonic,
        limits: AdmissionLimits | None = None,
        policy: DataPolicy = OPEN,
        manner: Manner | None = None,
        retries: RetryBudget | None = None,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._clock = clock
        self._limits = limits or AdmissionLimits()
        self._attained = Attained()
        self._places = Places(fleet, policy, self._attained, clock, manner or Manner(), self._changed)
        self._served = ServedModels(fleet)
        self._retries = retries or RetryBudget()
        self.lines = Lines(self._attained, clock, policy.weight)

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Engine id → calls sent and not ended."""
        return dict(self._places.in_flight)

    @property
    def waiting(self) -> Mapping[str, int]:
        """Model id → calls that wait for room."""
        return self.lines.waiting

    @property
    def open_requests(self) -> int:
        """Requests whose service is counted."""
        return len(self._attained)

    @property
    def idle(self) -> bool:
        """Nobody is on any engine, in any line, or has a request open."""
        return self._places.idle and not any(self.waiting.values()) and not self.open_requests

    def opened(self, request_id: str) -> AbstractContextManager[None]:
        """Count the service of a request from its first call to its last one; without it each call stands alone."""
        return self._attained.opened(request_id, self._clock())

    def context_tokens(self, model_id: str) -> int | None:
        """The longest prompt and answer together that any engine of the model takes; None: it has no engine."""
        return self._served.of(model_id).context_tokens

    def devices(self, model_id: str) -> int:
        """The devices of one engine of the model."""
        return self._served.of(model_id).devices

    def room(self, model_id: str) -> ModelRoom:
        """What there is of a model now; engines that wait for their turn count."""
        return self._served.room(model_id, self._places.in_flight, self.lines.waiting_for(model_id))

    def broken_engines(self) -> Mapping[str, BreakerState]:
        """Engine id → state of its circuit breaker, for those whose last call failed."""
        return self._places.broken_now()

    def place_now(self, model_id: str, under: Under, prefix: int | None) -> Place | None:
        """A place on the best engine of a model, or None where a call would have to wait, or has nowhere to go.

        Nobody overtakes who stands in the line. Raises NotAllowed.
        """
        place = self._place(model_id, under, prefix)
        if place is not None:
            self._retries.paid_in()
        return place

    def place_again(
        self, error: Exception, under: Under, prefix: int | None, before: Place, failed: Set[str]
    ) -> Place | None:
        """A place elsewhere for a call that failed so before its first byte; None where it may not be made again."""
        if not _mended_elsewhere(error):
            return None
        return self._place(before.engine.model_id, under, prefix, before.receipt, failed)

    def _place(
        self,
        model_id: str,
        under: Under,
        prefix: int | None,
        receipt: Receipt | None = None,
        failed: Set[str] = frozenset(),
    ) -> Place | None:
        if self.lines.stands(model_id):
            return None
        found = self._places.find(model_id, under, prefix, failed)
        if not isinstance(found, Picked) or found.free_share <= 0:
            return None
        if receipt is not None and not self._retries.take():
            return None
        return self._places.take(found.engine, receipt or self._places.receipt())

    def prefix_matters(self, model_id: str) -> bool:
        """Whether a model has several engines, so that it is worth knowing where a conversation is at home."""
        return len(self._served.of(model_id).engine_ids) > 1

    async def stream(
        self, call: EngineCall, ctx: CallContext, on_sent: Callable[[Sent], None] = _nobody
    ) -> AsyncGenerator[CallChunk, None]:
        """Yield the chunks of one call; `on_sent` hears of each time it goes to an engine.

        Raises NotAllowed, EngineUnavailable, EngineRejected, ContextTooLong and Overloaded. Closing it aborts the call.
        """
        asked_s, receipt = self._clock(), self._places.receipt()
        failed: set[str] = set()
        self._retries.paid_in()
        with self.opened(ctx.request_id):
            for attempt in (1, 2):
                engine = await self._admitted(call, ctx, failed)
                on_sent(Sent(engine.engine_id, self._clock() - asked_s, attempt, receipt))
                begun = False
                try:
                    with Stay(self._places, self.lines, engine, ctx, receipt):
                        async with contextlib.aclosing(self._client.stream_chat(engine, call, ctx)) as chunks:
                            async for chunk in chunks:
                                begun = True
                                yield chunk if chunk.engine_id else replace(chunk, engine_id=engine.engine_id)
                    return
                except (EngineUnavailable, EngineRejected) as error:
                    failed.add(engine.engine_id)
                    if begun or attempt == 2 or not self._worth_retrying(error, call, ctx, failed):
                        raise

    def _worth_retrying(self, error: Exception, call: EngineCall, ctx: CallContext, failed: set[str]) -> bool:
        if not _mended_elsewhere(error) or not isinstance(self._find(call, ctx, failed), Picked | Asleep):
            return False
        return self._retries.take()

    async def _admitted(self, call: EngineCall, ctx: CallContext, failed: set[str]) -> EngineStatus:
        """The engine for this call, as soon as it is awake and has room, and it is the call's turn."""
        if not self.lines.stands(call.model_id):  # most calls need no line
            outcome = self._found(call, ctx, failed, waiting=1)
            if isinstance(outcome, Picked) and outcome.free_share > 0:
                return outcome.engine
        came_s = awake_s = self._clock()
        with self._line(call.model_id, ctx) as (line, ticket):
            others = self.lines.crowd(line, ctx.tenant)[0] - 1
            while True:
                outcome = self._found(call, ctx, failed, waiting=len(line))
                now_s = self._clock()
                asleep, first = isinstance(outcome, Asleep), line.first(now_s) is ticket
                if asleep:
                    failed.clear()  # what failed has gone to sleep since, and comes back with the turn
                    awake_s = now_s
                decision = decide(
                    free_share=0.0 if isinstance(outcome, Asleep) else outcome.free_share,
                    first=first,
                    others=others,
                    begun=ticket.waiting.attained_s > 0,
                    waited_s=now_s - (came_s if asleep else awake_s),
                    left_s=ctx.deadline_s - now_s,
                    drain_s=self._drain_s(call.model_id, self.lines.crowd(line, ctx.tenant)[0]),
                    limits=self._limits,
                    asleep=asleep,
                )
                if isinstance(decision, Admit):
                    assert isinstance(outcome, Picked)
                    return outcome.engine
                if isinstance(decision, Reject):
                    retry_after_s = self.lines.promised_after_s(
                        call.model_id, ctx, decision.retry_after_s, self._drain_s(call.model_id, 1)
                    )
                    raise Overloaded(f"{call.model_id}: {decision.reason}", retry_after_s=retry_after_s)
                self._tell(call.model_id) if first else self.lines.wake(call.model_id)
                look_s = _SNAPSHOT_CHECK_S if first else _LINE_CHECK_S
                await ticket.called(max(_LEAST_WAIT_S, min(decision.at_most_s, look_s)))

    def _drain_s(self, model_id: str, waiting: int) -> float:
        """Seconds until the engines have taken in so many calls."""
        slots = sum(engine.max_num_seqs for engine in self._fleet.snapshot.ready(model_id))
        return waiting * self._attained.call_s / max(1, slots)

    @contextlib.contextmanager
    def _line(self, model_id: str, ctx: CallContext) -> Iterator[tuple[FairLine[Ticket], Ticket]]:
        """Stand in the model's line; the supervisor hears when that is over."""
        try:
            with self.lines.joined(model_id, ctx) as standing:
                yield standing
        finally:
            self._tell(model_id)

    def _found(self, call: EngineCall, ctx: CallContext, failed: set[str], waiting: int) -> Picked | Asleep:
        outcome = self._find(call, ctx, failed)
        if isinstance(outcome, NoEngine):
            self._fleet.demand.append(DemandEvent(call.model_id, waiting, self._clock()))
            reasons = "; ".join(outcome.reasons)
            raise EngineUnavailable(f"no ready engine serves {call.model_id} ({reasons}); see `appliance status`")
        return outcome

    def _find(self, call: EngineCall, ctx: CallContext, failed: set[str]) -> Picked | Asleep | NoEngine:
        several = len(self._served.of(call.model_id).engine_ids) > 1
        prefix = prefix_of_messages(ctx.cache_salt, call.messages) if several else None
        return self._places.find(call.model_id, Under(ctx.labels, ctx.policy), prefix, failed)

    def _changed(self, engine: EngineStatus, left: bool) -> None:
        """A call came to an engine or has left it."""
        if engine.turn_group:
            self._tell(engine.model_id)
        if left:
            self.lines.wake(engine.model_id)

    def _tell(self, model_id: str) -> None:
        """Let the supervisor know what there is to do for a model that takes turns with others."""
        engines = [engine for engine in self._places.serving(model_id) if engine.turn_group]
        if engines:
            in_flight = sum(self._places.in_flight.get(engine.engine_id, 0) for engine in engines)
            waiting = self.lines.waiting_for(model_id)
            self._fleet.demand.append(DemandEvent(model_id, waiting, self._clock(), in_flight))


def _mended_elsewhere(error: Exception) -> bool:
    if isinstance(error, EngineRejected):
        return error.status in _MENDED_ELSEWHERE
    return isinstance(error, EngineUnavailable)
