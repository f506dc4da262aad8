"""One call to the best engine that serves its model, as a stream of chunks.

`stream` (retry once, before the first byte) → `_admitted` (wait for its turn, pick the engine) → `_sent` (count it in
flight, name the engine on each chunk) → the engine client.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from appliance.dispatch.admission import AdmissionLimits, Admit, Reject, decide
from appliance.dispatch.attained import Attained
from appliance.dispatch.endpoint_picker import Asleep, NoEngine, Picked, pick
from appliance.dispatch.gpu_meter import GpuMeter, Receipt
from appliance.dispatch.line import Line
from appliance.dispatch.lines import Lines, Ticket
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import DemandEvent, Fleet, ModelRoom
from appliance.domain.policy import OPEN, DataPolicy
from appliance.domain.request import CallChunk, CallContext, EngineCall
from appliance.errors import EngineRejected, EngineUnavailable, NotAllowed, Overloaded

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
    """Sends calls to engines; owns counts of calls in flight, lines of waiting calls and the service of requests.

    `clock` is monotonic, in seconds. One instance belongs to one event loop.
    """

    def __init__(
        self,
        fleet: Fleet,
        client: ChatClient,
        clock: Callable[[], float] = time.monotonic,
        limits: AdmissionLimits | None = None,
        policy: DataPolicy = OPEN,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._clock = clock
        self._limits = limits or AdmissionLimits()
        self._policy = policy
        self._in_flight: Counter[str] = Counter()
        self._meter = GpuMeter()
        self._attained = Attained()
        self.lines = Lines(self._attained, clock)

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Engine id → calls sent and not ended."""
        return dict(self._in_flight)

    @property
    def waiting(self) -> Mapping[str, int]:
        """Model id → calls that wait for room."""
        return self.lines.waiting

    @property
    def open_requests(self) -> int:
        """Requests whose service is counted."""
        return len(self._attained)

    def opened(self, request_id: str) -> AbstractContextManager[None]:
        """Count the service of a request from its first call to its last one; without it each call stands alone."""
        return self._attained.opened(request_id, self._clock())

    def context_tokens(self, model_id: str) -> int | None:
        """The longest prompt and answer together that any engine of the model takes; None: it has no engine."""
        return max((e.max_model_len for e in self._fleet.snapshot.of(model_id)), default=None)

    def room(self, model_id: str) -> ModelRoom:
        """What there is of a model now; engines that wait for their turn count."""
        serving = self._fleet.snapshot.of(model_id)
        usable = [e for e in serving if e.state is EngineState.READY or e.awaits_turn]
        kv_tokens = [self._fleet.figures_of(e.engine_id).kv_tokens for e in usable]
        known = [tokens for tokens in kv_tokens if tokens is not None]
        return ModelRoom(
            running=sum(self._in_flight[e.engine_id] for e in serving),
            waiting=self.lines.length(model_id),
            places=sum(e.max_num_seqs for e in usable),
            devices=max((e.devices for e in serving), default=1),
            kv_tokens=sum(known) if known and len(known) == len(kv_tokens) else None,
        )

    async def stream(
        self, call: EngineCall, ctx: CallContext, on_sent: Callable[[Sent], None] = _nobody
    ) -> AsyncGenerator[CallChunk, None]:
        """Yield the chunks of one call; `on_sent` hears of each time it goes to an engine.

        Raises NotAllowed, EngineUnavailable, EngineRejected, ContextTooLong and Overloaded. Closing it aborts the call.
        """
        asked_s, receipt = self._clock(), self._meter.receipt()
        failed: set[str] = set()
        with self.opened(ctx.request_id):
            for attempt in (1, 2):
                engine = await self._admitted(call, ctx, failed)
                on_sent(Sent(engine.engine_id, self._clock() - asked_s, attempt, receipt))
                begun = False
                try:
                    async with contextlib.aclosing(self._sent(engine, call, ctx, receipt)) as chunks:
                        async for chunk in chunks:
                            begun = True
                            yield chunk
                    return
                except (EngineUnavailable, EngineRejected) as error:
                    failed.add(engine.engine_id)
                    if begun or attempt == 2 or not self._worth_retrying(error, call.model_id, ctx, failed):
                        raise

    def _worth_retrying(self, error: Exception, model_id: str, ctx: CallContext, failed: set[str]) -> bool:
        if isinstance(error, EngineRejected) and error.status not in _MENDED_ELSEWHERE:
            return False
        return isinstance(self._pick(model_id, ctx, failed), Picked | Asleep)

    async def _admitted(self, call: EngineCall, ctx: CallContext, failed: set[str]) -> EngineStatus:
        """The engine for this call, as soon as it is awake and has room, and it is the call's turn."""
        if not self.lines.length(call.model_id):  # nobody to stand behind: most calls need no line
            outcome = self._found(call.model_id, ctx, failed, waiting=1)
            if isinstance(outcome, Picked) and outcome.score > 0:
                return outcome.engine
        came_s = awake_s = self._clock()
        with self._line(call.model_id, ctx) as (line, ticket):
            others = len(line) - 1
            while True:
                outcome = self._found(call.model_id, ctx, failed, waiting=len(line))
                now_s = self._clock()
                asleep, first = isinstance(outcome, Asleep), line.first(now_s) is ticket
                if asleep:
                    failed.clear()  # what failed has gone to sleep since, and comes back with the turn
                    awake_s = now_s
                decision = decide(
                    free_share=0.0 if isinstance(outcome, Asleep) else outcome.score,
                    first=first,
                    others=others,
                    begun=ticket.waiting.attained_s > 0,
                    waited_s=now_s - (came_s if asleep else awake_s),
                    left_s=ctx.deadline_s - now_s,
                    drain_s=self._drain_s(call.model_id, len(line)),
                    limits=self._limits,
                    asleep=asleep,
                )
                if isinstance(decision, Admit):
                    assert isinstance(outcome, Picked)
                    return outcome.engine
                if isinstance(decision, Reject):
                    raise Overloaded(f"{call.model_id}: {decision.reason}", retry_after_s=decision.retry_after_s)
                self._tell(call.model_id) if first else self.lines.wake(call.model_id)
                look_s = _SNAPSHOT_CHECK_S if first else _LINE_CHECK_S
                await ticket.called(max(_LEAST_WAIT_S, min(decision.at_most_s, look_s)))

    def _drain_s(self, model_id: str, waiting: int) -> float:
        """Seconds until the engines have taken in so many calls."""
        slots = sum(engine.max_num_seqs for engine in self._fleet.snapshot.ready(model_id))
        return waiting * self._attained.call_s / max(1, slots)

    @contextlib.contextmanager
    def _line(self, model_id: str, ctx: CallContext) -> Iterator[tuple[Line[Ticket], Ticket]]:
        """Stand in the model's line; the supervisor hears when that is over."""
        try:
            with self.lines.joined(model_id, ctx) as standing:
                yield standing
        finally:
            self._tell(model_id)

    def _found(self, model_id: str, ctx: CallContext, failed: set[str], waiting: int) -> Picked | Asleep:
        outcome = self._pick(model_id, ctx, failed)
        if isinstance(outcome, NoEngine):
            self._fleet.demand.append(DemandEvent(model_id, waiting, self._clock()))
            reasons = "; ".join(outcome.reasons)
            raise EngineUnavailable(f"no ready engine serves {model_id} ({reasons}); see `appliance status`")
        return outcome

    def _pick(self, model_id: str, ctx: CallContext, failed: set[str]) -> Picked | Asleep | NoEngine:
        return pick(model_id, self._allowed(model_id, ctx), self._in_flight, failed)

    def _allowed(self, model_id: str, ctx: CallContext) -> tuple[EngineStatus, ...]:
        """The engines of a model that may be used for the request. Raises NotAllowed where there are others only."""
        engines = self._fleet.snapshot.of(model_id)
        refusals = [self._policy.refusal(ctx.labels, model_id, e.node, ctx.policy) for e in engines]
        if refusals and all(refusals):
            param = "labels" if ctx.labels else "model"
            raise NotAllowed(f"the policy lets no engine of {model_id} see this request: {refusals[0]}", param=param)
        return tuple(e for e, reason in zip(engines, refusals, strict=True) if not reason)

    def _tell(self, model_id: str) -> None:
        """Let the supervisor know what there is to do for a model that takes turns with others."""
        engines = [e for e in self._fleet.snapshot.of(model_id) if e.turn_group]
        if engines:
            in_flight = sum(self._in_flight[engine.engine_id] for engine in engines)
            waiting = self.lines.length(model_id)
            self._fleet.demand.append(DemandEvent(model_id, waiting, self._clock(), in_flight))

    async def _sent(
        self, engine: EngineStatus, call: EngineCall, ctx: CallContext, receipt: Receipt
    ) -> AsyncGenerator[CallChunk, None]:
        """Stream from this engine. No await stands between its choice and this count, so no other call sees the gap."""
        began_s, well = self._clock(), False
        self._in_flight[engine.engine_id] += 1
        self._attained.begin(ctx.request_id, began_s)
        receipt.begin(engine.engine_id, engine.devices, began_s)
        self._tell(engine.model_id)
        try:
            async with contextlib.aclosing(self._client.stream_chat(engine, call, ctx)) as chunks:
                async for chunk in chunks:
                    yield chunk if chunk.engine_id else replace(chunk, engine_id=engine.engine_id)
            well = True
        finally:
            ended_s = self._clock()
            receipt.end(ended_s)
            self._attained.end(ctx.request_id, began_s, ended_s, well=well)
            self._in_flight[engine.engine_id] -= 1
            if not self._in_flight[engine.engine_id]:
                del self._in_flight[engine.engine_id]
            self._tell(engine.model_id)
            self.lines.wake(engine.model_id)
