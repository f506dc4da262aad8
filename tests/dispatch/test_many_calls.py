"""The dispatcher under random requests, cancellations and lost engines, on virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.dispatch.admission import AdmissionLimits
from appliance.dispatch.dispatcher import Dispatcher, Sent
from appliance.dispatch.priority import PATIENCE_S
from appliance.domain.engine import EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.model import Role
from appliance.domain.request import CallChunk, CallContext, EngineCall
from appliance.errors import EngineError, EngineUnavailable, Overloaded
from tests.coordinator.house import engine
from tests.fakes.virtual_time import run

SLOTS = 2
LIMITS = AdmissionLimits(max_waiting=1000, max_wait_s=10_000.0)


@dataclass(frozen=True)
class Asking:
    """One request: so many calls one after the other, or all at once, each taking `seconds`."""

    after_s: float
    seconds: float
    calls: int
    at_once: bool
    left: int | None
    leaves_after_s: float | None


ASKING = st.builds(
    Asking,
    after_s=st.floats(0, 60),
    seconds=st.floats(0.1, 200),
    calls=st.integers(1, 4),
    at_once=st.booleans(),
    left=st.none() | st.integers(1, 30),
    leaves_after_s=st.none() | st.floats(0, 200),
)


@dataclass
class Client:
    """Takes `seconds` for each call; knows which engines are down, and never takes more than they may."""

    down: set[str] = field(default_factory=set)
    open: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)

    async def stream_chat(self, on: EngineStatus, call: EngineCall, ctx: CallContext) -> AsyncGenerator[CallChunk]:
        if on.engine_id in self.down:
            raise EngineUnavailable("connection refused")
        self.open[on.engine_id] += 1
        assert self.open[on.engine_id] <= SLOTS
        try:
            await asyncio.sleep(float(call.params["seconds"]))
            self.finished[ctx.task_id] += 1
            yield CallChunk("x", finish_reason="stop")
        finally:
            self.open[on.engine_id] -= 1


class World:
    """One model on two engines, and what came of each call."""

    def __init__(self) -> None:
        self.fleet, self.client = Fleet(), Client()
        self.show()
        self.clock = asyncio.get_running_loop().time
        self.dispatcher = Dispatcher(self.fleet, self.client, self.clock, LIMITS)
        self.waiting: dict[str, float] = {}
        self.outcomes: Counter[str] = Counter()

    def show(self) -> None:
        """Publish which engines are ready."""
        down = self.client.down
        self.fleet.publish(
            tuple(engine("m", replica=n, ready=f"m-{n}" not in down, max_num_seqs=SLOTS) for n in range(2))
        )

    async def call(self, name: str, task: str, asking: Asking) -> None:
        """One call; it must end in one outcome, and go to an engine in its turn."""
        ctx = CallContext(
            name, "t", task, Role.EXECUTOR, "acme", 0, self.clock() + 5000.0, 100, "", calls_left=asking.left
        )
        self.waiting[task] = self.clock()

        def on_sent(_sent: Sent) -> None:
            came_s = self.waiting.pop(task, self.clock())
            patient = [s for s in self.waiting.values() if self.clock() - s >= PATIENCE_S + 1e-6]
            assert came_s <= min(patient, default=came_s), "overtook a call that had waited for its patience"

        outcome = "cancelled"
        try:
            body = EngineCall("m", (), 8, {"seconds": asking.seconds})
            async for _ in self.dispatcher.stream(body, ctx, on_sent):
                pass
            outcome = "answered"
        except (EngineError, Overloaded):
            outcome = "refused"
        finally:
            self.waiting.pop(task, None)
            self.outcomes[outcome] += 1
            assert self.client.finished[task] == (outcome == "answered") or outcome == "cancelled"

    async def request(self, name: str, asking: Asking) -> None:
        await asyncio.sleep(asking.after_s)
        with self.dispatcher.opened(name):
            tasks = [f"{name}/{n}" for n in range(asking.calls)]
            if asking.at_once:
                await asyncio.gather(*(self.call(name, task, asking) for task in tasks))
                return
            for task in tasks:
                await self.call(name, task, asking)

    async def losses(self, losses: list[tuple[float, int, float]]) -> None:
        """Engines go, first unnoticed, then seen by all, and come back."""
        for after_s, number, gone_s in losses:
            await asyncio.sleep(after_s)
            self.client.down.add(f"m-{number}")
            await asyncio.sleep(gone_s / 2)
            self.show()
            await asyncio.sleep(gone_s / 2)
            self.client.down.discard(f"m-{number}")
            self.show()


async def _left_after(work: asyncio.Task[None], seconds: float | None) -> None:
    with suppress(asyncio.CancelledError, TimeoutError):
        await asyncio.wait_for(work, seconds)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ASKING, min_size=1, max_size=25),
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1), st.floats(0.1, 50)), max_size=3),
)
def test_nothing_is_lost_nothing_runs_twice_and_nobody_starves(
    askings: list[Asking], losses: list[tuple[float, int, float]]
) -> None:
    async def main() -> None:
        world = World()
        works = [
            (asyncio.create_task(world.request(f"r{n}", asking)), asking.leaves_after_s)
            for n, asking in enumerate(askings)
        ]
        lossy = asyncio.create_task(world.losses(losses))
        await asyncio.gather(*(_left_after(work, seconds) for work, seconds in works))
        await lossy
        dispatcher = world.dispatcher
        assert (dispatcher.in_flight, dispatcher.waiting, dispatcher.open_requests) == ({}, {}, 0)
        assert +world.client.open == Counter()
        assert max(world.client.finished.values(), default=0) <= 1
        if not losses and all(asking.leaves_after_s is None for asking in askings):
            assert world.outcomes == {"answered": sum(asking.calls for asking in askings)}

    run(main())
