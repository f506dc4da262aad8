"""A pool under load, event by event: requests come, their calls go through the dispatcher to engines, answers follow.

Pure: the same setup, arrivals and events give the same outcome. What is modelled and what is not: docs/simulator.md.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from appliance.capacity.batching import NEVER, Engine, Reached
from appliance.capacity.device import Device
from appliance.capacity.dispatching import Asked, Dispatch
from appliance.capacity.outcome import CallTimes, EngineUse, Outcome, RequestTimes
from appliance.capacity.sequence import Sequence
from appliance.capacity.setup import Arrival, EnginePlace, Event, Outage, Setup, WakeUp
from appliance.capacity.tree_plan import TreePlan, plan_of
from appliance.capacity.trees import CallShape
from appliance.dispatch.breaker import Sign
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.request import CallContext

_TOKENS_LEFT = 2**31
"""Of a request's budget: traces are of requests that kept to theirs."""


def simulate(
    setup: Setup,
    arrivals: Iterable[Arrival],
    events: Iterable[Event] = (),
    until_s: float = NEVER,
    *,
    keep_calls: bool = False,
) -> Outcome:
    """Until all is answered, or until `until_s`. `arrivals` come in the order of their time.

    `keep_calls`: each request has the times of its calls, too. Raises ConfigError for calls that no engine takes.
    """
    return _Simulation(setup, iter(arrivals), events, keep_calls=keep_calls).run(until_s)


@dataclass(slots=True, eq=False)
class _Slot:
    """An engine's place over its lives. `life` counts its processes."""

    place: EnginePlace
    device: Device
    engine: Engine
    life: int = 1
    calls: int = 0
    busy_s: float = 0.0
    preemptions: int = 0

    def retire(self) -> None:
        """Put the engine's account to those of the processes before it."""
        self.busy_s += self.engine.busy_s
        self.preemptions += self.engine.preemptions


@dataclass(slots=True, eq=False)
class _Doing:
    """A request on its way. `open` conditions of each call; `left` calls have not ended."""

    number: int
    name: str
    plan: TreePlan
    tenant: str
    times: RequestTimes
    held: AbstractContextManager[None]
    open: list[int]
    left: int
    deadline_s: float
    running: dict[int, Asked] = field(default_factory=dict)
    calls: list[CallTimes] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Call:
    """Which call of which request, and on which engine."""

    doing: _Doing
    index: int
    shape: CallShape
    slot: _Slot | None = None
    begun: bool = False


class _Simulation:
    def __init__(self, setup: Setup, arrivals: Iterator[Arrival], events: Iterable[Event], *, keep_calls: bool) -> None:
        self._setup = setup
        self._arrivals = arrivals
        self._keep_calls = keep_calls
        self._now_s = 0.0
        self._numbers = count()
        self._requests: list[RequestTimes] = []
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._plans: dict[int, tuple[object, TreePlan]] = {}
        self._slots = _slots(setup)
        desks = [slot.device for slot in self._slots.values() if slot.place.device == setup.coordinator]
        self._desk = desks[0] if desks else None
        if self._desk is not None:
            self._desk.desk_share = setup.coordinator_share
        self._dispatch = Dispatch(setup, lambda: self._now_s, self._send, self._refuse, self._look_again)
        for event in events:
            self._at(event.at_s, self._outage if isinstance(event, Outage) else self._wake, event)
        self._next_arrival()

    def run(self, until_s: float) -> Outcome:
        events = self._events
        while events:
            at_s, _, what, about = heapq.heappop(events)
            if at_s > until_s:
                break
            self._now_s = at_s
            what(about)
        seconds = max(self._now_s, 0.0 if until_s == NEVER else until_s)
        return Outcome(tuple(self._requests), tuple(_use(slot, seconds) for slot in self._slots.values()), seconds)

    def _at(self, at_s: float, what: Callable[[Any], None], about: Any) -> None:
        heapq.heappush(self._events, (at_s, next(self._numbers), what, about))

    def _next_arrival(self) -> None:
        arrival = next(self._arrivals, None)
        if arrival is not None:
            self._at(max(arrival.at_s, self._now_s), self._arrive, arrival)

    def _arrive(self, arrival: Arrival) -> None:
        self._next_arrival()
        plan = self._plan(arrival)
        number = len(self._requests)
        name, times = str(number), RequestTimes(arrival.traffic, self._now_s)
        self._requests.append(times)
        held = self._dispatch.attained.opened(name, self._now_s)
        held.__enter__()
        conditions = list(plan.conditions)
        deadline_s = self._now_s + self._setup.deadline_s
        doing = _Doing(number, name, plan, arrival.tenant, times, held, conditions, len(conditions), deadline_s)
        for index in plan.roots:
            self._follow(doing, index)

    def _plan(self, arrival: Arrival) -> TreePlan:
        known = self._plans.get(id(arrival.tree))
        if known is None:
            self._setup.check((arrival.tree,))
            known = self._plans[id(arrival.tree)] = (arrival.tree, plan_of(arrival.tree))  # kept, so that its id is
        return known[1]

    def _follow(self, doing: _Doing, index: int) -> None:
        """A call has nothing to wait for any more but the coordinator."""
        after_s = doing.plan.calls[index].after_s
        if after_s:
            self._after(after_s, self._ask, (doing, index))
        else:
            self._ask((doing, index))

    def _after(self, seconds: float, what: Callable[[Any], None], about: Any) -> None:
        """Once the coordinator has worked for so long."""
        if self._desk is None or not seconds:
            self._at(self._now_s + seconds, what, about)
        else:
            self._desk.advance(self._now_s)
            self._desk.after(seconds, what, about)
            self._foresee(self._desk)

    def _ask(self, about: tuple[_Doing, int]) -> None:
        doing, index = about
        if doing.times.failed:
            return
        shape = doing.plan.calls[index]
        ctx = CallContext(
            doing.name,
            doing.name,
            "",
            shape.role,
            doing.tenant,
            0,
            doing.deadline_s,
            _TOKENS_LEFT,
            "",
            calls_after=shape.calls_after,
            calls_left=shape.calls_left,
        )
        prefix = doing.number * 31 + index
        asked = Asked(shape.model_id, ctx, prefix, self._now_s, _Call(doing, index, shape))
        doing.running[index] = asked
        self._dispatch.ask(asked)

    def _send(self, asked: Asked, engine: EngineStatus) -> None:
        """A call goes to an engine."""
        call, slot = _call_of(asked), self._slots[engine.engine_id]
        call.slot = slot
        shape = call.shape
        call.doing.times.queue_s += self._now_s - asked.asked_s
        stops = call.doing.plan.stops[call.index]
        sequence = Sequence(
            asked, max(1, shape.prompt_tokens), stops, (shape.role, call.doing.tenant), shape.shared_tokens
        )
        device = slot.device
        device.advance(self._now_s)
        slot.engine.submit(sequence, device.own_s)
        self._foresee(device)

    def _foresee(self, device: Device) -> None:
        at_s = device.settle()
        if at_s != NEVER:
            self._at(at_s, self._look, (device, device.version))

    def _look(self, about: tuple[Device, int]) -> None:
        """Something happens on a device, unless that has changed since it was foreseen."""
        device, version = about
        if version != device.version:
            return
        device.now_s, device.own_s = self._now_s, max(device.own_s, device.next_own_s)
        happened: list[Reached] = []
        for engine in device.engines:
            if engine.next_s <= device.own_s:
                happened += engine.work(device.own_s)
        due = device.due() if device.timers else ()
        self._foresee(device)
        for sequence, tokens in happened:
            self._reached(sequence, tokens)
        for what, other in due:
            what(other)

    def _reached(self, sequence: Sequence, tokens: int) -> None:
        """An engine has made so many tokens of a call."""
        asked = sequence.owner
        assert isinstance(asked, Asked)
        call = _call_of(asked)
        doing, call.begun = call.doing, True
        if tokens == 1 and call.index == doing.plan.streamed_by:
            doing.times.first_s = self._now_s
        ended = tokens == sequence.completion
        if ended:
            self._end_call(asked, call)
        if doing.times.failed:
            return
        for mark, follower in doing.plan.marks[call.index]:
            if mark == tokens:
                self._met(doing, follower)
        if ended:
            for follower in doing.plan.followers[call.index]:
                self._met(doing, follower)
            if not doing.left:
                self._after(doing.plan.last_s, self._answered, doing)

    def _met(self, doing: _Doing, index: int) -> None:
        doing.open[index] -= 1
        if not doing.open[index]:
            self._follow(doing, index)

    def _end_call(self, asked: Asked, call: _Call) -> None:
        doing, slot = call.doing, call.slot
        assert slot is not None
        slot.calls += 1
        doing.left -= 1
        doing.running.pop(call.index, None)
        doing.times.engine_s += self._now_s - asked.sent_s
        if self._keep_calls:
            times = CallTimes(call.shape, slot.place.engine_id, asked.asked_s, asked.sent_s, self._now_s)
            doing.calls.append(times)
        self._dispatch.left(asked, Sign.WORKS)
        if doing.times.failed and not any(other.place for other in doing.running.values()):
            self._close(doing)

    def _answered(self, doing: _Doing) -> None:
        times = doing.times
        times.ended_s = self._now_s
        times.first_s = self._now_s if times.first_s is None else times.first_s
        if self._now_s > doing.deadline_s:
            times.failed, times.ended_s = "its time was over", None
        self._close(doing)

    def _close(self, doing: _Doing) -> None:
        doing.times.calls = tuple(doing.calls)
        doing.held.__exit__(None, None, None)

    def _refuse(self, asked: Asked, reason: str) -> None:
        """The request fails with its call; what runs of it ends on its own."""
        call = _call_of(asked)
        doing = call.doing
        doing.running.pop(call.index, None)
        already, doing.times.failed = bool(doing.times.failed), doing.times.failed or reason
        if not already and not any(other.place for other in doing.running.values()):
            self._close(doing)

    def _look_again(self, model_id: str, after_s: float) -> None:
        if after_s != NEVER:
            self._at(self._now_s + after_s, self._dispatch.look_at_all, model_id)

    def _outage(self, outage: Outage) -> None:
        slot = self._slots[outage.engine_id]
        slot.retire()
        lost, slot.engine = slot.engine.sequences(), Engine(slot.place.profile)
        slot.life += 1
        device = slot.device
        device.advance(self._now_s)
        device.engines[:] = [other.engine for other in self._slots.values() if other.device is device]
        self._foresee(device)
        self._dispatch.set_state(outage.engine_id, EngineState.FAILED, slot.life)
        for sequence in lost:
            self._lost(sequence, outage.engine_id)
        for_s = slot.place.profile.start_s if outage.for_s is None else outage.for_s
        self._at(self._now_s + for_s, self._ready, (outage.engine_id, slot.life))

    def _lost(self, sequence: Sequence, engine_id: str) -> None:
        asked = sequence.owner
        assert isinstance(asked, Asked)
        self._dispatch.left(asked, Sign.FAILS)
        if _call_of(asked).begun or not self._dispatch.again(asked, engine_id):
            self._refuse(asked, f"{engine_id} failed")

    def _wake(self, wake: WakeUp) -> None:
        slot = self._slots[wake.engine_id]
        self._at(self._now_s + slot.place.profile.wake_s, self._ready, (wake.engine_id, slot.life))

    def _ready(self, about: tuple[str, int]) -> None:
        engine_id, life = about
        if self._slots[engine_id].life == life:
            self._dispatch.set_state(engine_id, EngineState.READY, life)


def _slots(setup: Setup) -> dict[str, _Slot]:
    devices: dict[str, Device] = {}
    slots: dict[str, _Slot] = {}
    for place in setup.engines:
        device = devices.setdefault(place.device, Device())
        engine = Engine(place.profile)
        device.engines.append(engine)
        slots[place.engine_id] = _Slot(place, device, engine)
    return slots


def _use(slot: _Slot, seconds: float) -> EngineUse:
    slot.retire()
    busy = slot.busy_s / seconds if seconds else 0.0
    return EngineUse(slot.place.engine_id, slot.place.profile.model_id, busy, slot.calls, slot.preemptions)


def _call_of(asked: Asked) -> _Call:
    call = asked.owner
    assert isinstance(call, _Call)
    return call
