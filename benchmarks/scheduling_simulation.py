"""A pool of engines that batch, and requests that go through them in the order of one policy: discrete events.

Order, service counts and admission are the appliance's own code (`dispatch.line`, `.priority`, `.attained`,
`.admission`). An engine computes prompts before it goes on decoding, and a step takes the longer the more sequences
are in it. Nothing else is modelled: KV memory always suffices, and what engines share with others on their GPUs is not
felt.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from appliance.dispatch.admission import AdmissionLimits, Admit, Reject, decide
from appliance.dispatch.attained import Attained
from appliance.dispatch.line import Line
from appliance.dispatch.priority import Waiting
from benchmarks.scheduling_policies import POLICIES, Doing, Ticket
from benchmarks.scheduling_workload import Call, Request, Served, Source, Workload

UNLIMITED = AdmissionLimits(max_waiting=10**9, max_wait_s=math.inf)


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the simulated dispatcher works.

    `deadline_s` after its arrival a request has failed. Between the end of a call and the begin of the next one in its
    slot `gap_s` pass, unless up to `ahead` calls more than slots are sent to an engine. Stops at `until_s`.
    """

    policy: str
    limits: AdmissionLimits = UNLIMITED
    deadline_s: float = math.inf
    gap_s: float = 0.0
    ahead: int = 0
    until_s: float = math.inf


@dataclass(slots=True, eq=False)
class Engine:
    """Calls in a batch. `turned` counts decode steps; a call ends at the step at the top of the heap."""

    served: Served
    steps_s: list[float]
    now_s: float = 0.0
    turned: float = 0.0
    prefill_s: float = 0.0
    batch: list[tuple[float, int, Ticket]] = field(default_factory=list)
    queue: deque[Ticket] = field(default_factory=deque)
    on_way: int = 0
    version: int = 0

    @property
    def taken(self) -> int:
        """Calls that the dispatcher counts in flight."""
        return len(self.batch) + len(self.queue) + self.on_way

    def advance(self, now_s: float) -> None:
        """Compute until now: prompts first, then steps."""
        passed_s, self.now_s = now_s - self.now_s, now_s
        prompts_s = min(passed_s, self.prefill_s)
        self.prefill_s -= prompts_s
        if self.batch and passed_s > prompts_s:
            self.turned += (passed_s - prompts_s) / self.steps_s[len(self.batch)]

    def ends_s(self) -> float:
        """When the next call ends, if nothing changes."""
        steps = max(0.0, self.batch[0][0] - self.turned)
        return self.now_s + self.prefill_s + steps * self.steps_s[len(self.batch)]

    def fill(self, numbers: count[int]) -> None:
        """Take calls of its own queue into free slots."""
        while self.queue and len(self.batch) < self.served.slots:
            ticket = self.queue.popleft()
            self.prefill_s += ticket.call.prompt * self.served.prefill_s
            heapq.heappush(self.batch, (self.turned + ticket.call.answer, next(numbers), ticket))


@dataclass(slots=True)
class Outcome:
    """What came of a run: requests in their order, and (second, answer tokens) of each call that ended."""

    doings: list[Doing]
    ended: list[tuple[float, int]]


class Simulation:
    """One run."""

    def __init__(self, workload: Workload, conditions: Conditions, requests: list[Request]) -> None:
        self._conditions = conditions
        self._attained = Attained()
        order = POLICIES[conditions.policy]
        models = workload.pool.models
        self._engines = {name: [_engine(served) for _ in range(served.engines)] for name, served in models.items()}
        self._lines: dict[str, Line[Ticket]] = {
            name: Line(lambda ticket, now_s: order(ticket, now_s, self._attained)) for name in models
        }
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[..., None], Any]] = []
        self._ended: list[tuple[float, int]] = []
        self._doings = [Doing(request, ExitStack()) for request in requests]
        for doing in self._doings:
            self._at(doing.request.at_s, self._arrive, doing)

    def run(self) -> Outcome:
        """Until nothing happens any more, or the time is up."""
        while self._events:
            now_s, _, what, about = heapq.heappop(self._events)
            if now_s > self._conditions.until_s:
                break
            what(now_s, about)
        return Outcome(self._doings, self._ended)

    def _at(self, when_s: float, what: Callable[[float, Any], None], about: Any) -> None:
        heapq.heappush(self._events, (when_s, next(self._numbers), what, about))

    def _arrive(self, now_s: float, doing: Doing) -> None:
        doing.held.enter_context(self._attained.opened(str(doing.request.number), now_s))
        self._ask(now_s, doing, doing.request.first)

    def _ask(self, now_s: float, doing: Doing, call: Call, task: int | None = None) -> None:
        name = str(doing.request.number)
        waiting = Waiting(
            name,
            doing.request.at_s,
            now_s,
            doing.request.at_s + self._conditions.deadline_s,
            self._attained.attained_s(name, now_s),
            doing.calls_left,
            call.after,
        )
        line = self._lines[call.model]
        line.join(Ticket(doing, call, task, waiting, len(line)), now_s)
        self._serve(now_s, call.model)

    def _serve(self, now_s: float, model: str) -> None:
        """Send what may be sent."""
        line, ahead = self._lines[model], self._conditions.ahead
        while (ticket := line.first(now_s)) is not None:
            engine = min(self._engines[model], key=lambda engine: engine.taken)
            decision = decide(
                free_share=1 - engine.taken / (engine.served.slots + ahead),
                first=True,
                others=ticket.others,
                begun=ticket.waiting.attained_s > 0,
                waited_s=now_s - ticket.waiting.came_s,
                left_s=ticket.waiting.deadline_s - now_s,
                drain_s=0.0,  # nobody comes again
                limits=self._conditions.limits,
            )
            if ticket.doing.failed:
                line.leave(ticket)
            elif now_s >= ticket.waiting.deadline_s or isinstance(decision, Reject):
                line.leave(ticket)
                ticket.doing.failed = True
            elif isinstance(decision, Admit):
                line.leave(ticket)
                self._send(now_s, ticket, engine)
            else:
                return

    def _send(self, now_s: float, ticket: Ticket, engine: Engine) -> None:
        ticket.began_s = now_s
        self._attained.begin(ticket.waiting.request_id, now_s)
        engine.on_way += 1
        if self._conditions.gap_s:
            self._at(now_s + self._conditions.gap_s, self._reach, (ticket, engine))
        else:
            self._reach(now_s, (ticket, engine))

    def _reach(self, now_s: float, about: tuple[Ticket, Engine]) -> None:
        ticket, engine = about
        engine.advance(now_s)
        engine.on_way -= 1
        engine.queue.append(ticket)
        self._go_on(engine)

    def _go_on(self, engine: Engine) -> None:
        engine.fill(self._numbers)
        engine.version += 1
        if engine.batch:
            self._at(engine.ends_s(), self._look, (engine, engine.version))

    def _look(self, now_s: float, about: tuple[Engine, int]) -> None:
        """Calls of an engine end, unless something has changed since this was foreseen."""
        engine, version = about
        if version != engine.version:
            return
        engine.advance(now_s)
        ended: list[Ticket] = []
        while engine.batch and engine.batch[0][0] <= engine.turned + 1e-9:
            ended.append(heapq.heappop(engine.batch)[2])
        self._go_on(engine)
        for ticket in ended:
            self._attained.end(ticket.waiting.request_id, ticket.began_s, now_s, well=True)
            self._ended.append((now_s, ticket.call.answer))
        for ticket in ended:
            self._go_after(now_s, ticket)
        if ended:
            self._serve(now_s, ended[0].call.model)

    def _go_after(self, now_s: float, ticket: Ticket) -> None:
        """What follows a call."""
        doing, request = ticket.doing, ticket.doing.request
        if now_s >= ticket.waiting.deadline_s:
            doing.failed = True
        if doing.failed:
            return
        if ticket.call is request.last or not request.hard:
            doing.answered_s = now_s
            doing.held.close()
            return
        if ticket.task is None:
            doing.planned = True
        elif not self._task_goes_on(now_s, doing, ticket.task):
            return
        if request.last is not None and len(doing.finished) == len(request.tasks):
            self._ask(now_s, doing, request.last)
            return
        for n, task in enumerate(request.tasks):
            if n not in doing.step and doing.finished.issuperset(task.needs):
                doing.step[n] = 0
                self._ask(now_s, doing, task.calls[0], n)

    def _task_goes_on(self, now_s: float, doing: Doing, n: int) -> bool:
        """Whether the task is finished; else its next call is asked for."""
        calls = doing.request.tasks[n].calls
        doing.step[n] += 1
        if doing.step[n] < len(calls):
            self._ask(now_s, doing, calls[doing.step[n]], n)
            return False
        doing.finished.add(n)
        return True


def _engine(served: Served) -> Engine:
    return Engine(served, [0.0, *(served.step_s(n) for n in range(1, served.slots + 1))])


def simulate(workload: Workload, conditions: Conditions, seed: int, rate: float, requests: int) -> Outcome:
    """One run of so many requests."""
    return Simulation(workload, conditions, Source(workload, random.Random(seed)).requests(requests, rate)).run()
