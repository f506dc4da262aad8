"""Dividing a tenant's limits between processes: never too much in all, and nobody starves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.account import GPU_MONTH, TenantAccount
from appliance.access.keeper import TURN_S, LimitKeeper
from appliance.access.limits import Admitted, Limits, Refused
from appliance.domain.policy import DataPolicy, TenantLimits, TenantPolicy
from appliance.domain.sharing import EXPIRES_S, Claim, Held, divided, heard, written
from appliance.domain.tenant import Tenant
from appliance.errors import LedgerError, LimitReached
from appliance.ledger.database import Database

ACME = Tenant("acme")


def claim(limit: float, share: float, needed: float, wanted: float, *, whole: bool = False) -> Claim:
    return Claim("acme", "x", limit, share, needed, wanted, 60.0, whole=whole)


def test_alone_it_has_all_and_together_equal_parts() -> None:
    assert divided(claim(90, 0, 0, 0), []) == 90
    assert divided(claim(90, 90, 0, 0), [Held(0, 10, 0)]) == 40  # and half of what neither wants
    assert divided(claim(90, 90, 10, 80), [Held(0, 50, 0)]) == 45
    assert divided(claim(90, 0, 0, 80), [Held(45, 50, 0)]) == 45
    assert divided(claim(90, 20, 20, 85), [Held(5, 5, 0)]) == 85  # the other does not want its half


def test_what_is_needed_is_never_given() -> None:
    assert divided(claim(90, 90, 70, 70), [Held(0, 50, 0)]) == 70


def test_the_share_of_a_silent_process_is_left_alone_as_long_as_its_use_counts() -> None:
    assert divided(claim(90, 0, 0, 90), [Held(45, 45, EXPIRES_S + 59)]) == 45


def test_whole_shares_do_not_vanish_by_rounding() -> None:
    assert divided(claim(1, 0, 0, 1, whole=True), [Held(0, 0, 0), Held(0, 0, 0)]) == 1
    assert divided(claim(2, 0, 0, 1, whole=True), [Held(1, 1, 0), Held(0, 0, 0)]) == 1
    assert divided(claim(1, 0, 0, 1, whole=True), [Held(1, 1, 0)]) == 0


@dataclass(slots=True)
class Process:
    share: float = 0.0
    needed: float = 0.0
    pending: tuple[Claim, float] | None = None


@dataclass(slots=True)
class Model:
    """Processes, what stands where they look, and the rule that is to hold all the time."""

    limit: float
    whole: bool
    processes: list[Process] = field(default_factory=lambda: [Process() for _ in range(4)])
    rows: dict[int, Held] = field(default_factory=dict)

    def use(self, who: int, amount: float) -> None:
        process = self.processes[who]
        if process.needed + amount <= process.share:
            process.needed += amount

    def give_back(self, who: int, amount: float) -> None:
        self.processes[who].needed = max(0.0, self.processes[who].needed - amount)

    def divide(self, who: int, extra: float) -> None:
        """The transaction; its process hears of it later."""
        process = self.processes[who]
        if process.pending is not None:
            return
        said = claim(self.limit, process.share, process.needed, process.needed + extra, whole=self.whole)
        share = divided(said, [held for other, held in self.rows.items() if other != who])
        self.rows[who] = Held(written(said, share), said.wanted, 0.0)
        process.pending = said, share

    def hear(self, who: int) -> None:
        process = self.processes[who]
        if process.pending is not None:
            said, share = process.pending
            process.share, process.pending = heard(said, share, process.needed), None

    def check(self) -> None:
        assert sum(process.needed for process in self.processes) <= self.limit + 1e-6
        assert sum(process.share for process in self.processes) <= self.limit + 1e-6
        for who, process in enumerate(self.processes):
            assert process.needed <= process.share + 1e-9
            assert process.share <= (self.rows[who].share if who in self.rows else 0.0) + 1e-9


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["use", "use", "give", "divide", "divide", "hear"]), st.integers(0, 3), st.integers(0, 40)
    ),
    max_size=120,
)


@given(STEPS, st.integers(1, 100), st.booleans())
@settings(max_examples=300)
def test_all_together_never_have_more_than_the_limit(
    steps: list[tuple[str, int, int]], limit: int, whole: bool
) -> None:
    model = Model(float(limit), whole)
    for kind, who, amount in steps:
        if kind == "use":
            model.use(who, amount)
        elif kind == "give":
            model.give_back(who, amount)
        elif kind == "divide":
            model.divide(who, amount)
        else:
            model.hear(who)
        model.check()


@given(st.integers(1, 60), st.lists(st.integers(0, 80), min_size=4, max_size=4), st.booleans())
def test_who_wants_something_gets_it_where_nobody_else_does(limit: int, wants: list[int], whole: bool) -> None:
    model = Model(float(limit), whole)
    for _ in range(12):
        for who, want in enumerate(wants):
            model.divide(who, float(want))
            model.hear(who)
            model.check()
    if sum(wants) <= limit:
        assert all(process.share >= want - 1e-6 for process, want in zip(model.processes, wants, strict=True))
    elif not whole:
        fair = limit / 4
        assert all(p.share >= min(want, fair) - 1e-6 for p, want in zip(model.processes, wants, strict=True))


# Processes over one ledger.


@dataclass(slots=True)
class Clock:
    now_s: float = 1_000.0
    offset_s: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return self.now_s + self.offset_s


def kept(database: Database, clock: Clock, *, shared: bool = True, **said: float) -> tuple[Limits, LimitKeeper]:
    limits = Limits(DataPolicy(policies={"default": TenantPolicy(limits=TenantLimits(**said))}))  # type: ignore[arg-type]  # the fields are named by each test
    return limits, LimitKeeper(limits, database, shared=shared, clock=clock, wall_clock=clock.wall)


def admitted(limits: Limits, clock: Clock, tokens: float = 1.0, gpu_s: float = 0.0) -> Admitted | None:
    found = limits.admit(ACME, tokens, clock(), gpu_s)
    return None if isinstance(found, Refused) else found


def test_two_processes_together_admit_what_the_limit_says(ledger_place: Path | str) -> None:
    async def main() -> None:
        clock = Clock()
        with closing(Database(ledger_place)) as database:
            (one, keeper), (two, other) = (kept(database, clock, requests_per_min=10) for _ in range(2))
            assert admitted(one, clock) is None  # no share yet
            count = 0
            for _ in range(40):
                await keeper.turn()
                count += sum(admitted(one, clock) is not None for _ in range(3))
                await other.turn()
                count += sum(admitted(two, clock) is not None for _ in range(3))
                clock.now_s += TURN_S
            assert count == 10
            clock.now_s += 60
            for _ in range(3):
                await keeper.turn()
                await other.turn()
            assert sum(admitted(one, clock) is not None for _ in range(9)) > 4

    asyncio.run(main())


def test_a_request_waits_for_what_an_idle_process_gives(tmp_path: Path) -> None:
    async def main() -> None:
        with closing(Database(tmp_path / "ledger.sqlite")) as database:
            loop = asyncio.get_running_loop()
            pairs = [_started(database, loop) for _ in range(2)]
            (one, first), (two, second) = pairs
            one.account(ACME), two.account(ACME)
            tasks = [asyncio.create_task(first.run()), asyncio.create_task(second.run())]
            holder = one.account(ACME).request()
            await one.enter(holder, loop.time)
            holder.leave(loop.time())
            waiter = two.account(ACME).request()
            await two.enter(waiter, loop.time)  # the only place was the other's
            with pytest.raises(LimitReached):
                await one.enter(one.account(ACME).request(), loop.time)
            waiter.leave(loop.time())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def _started(database: Database, loop: asyncio.AbstractEventLoop) -> tuple[Limits, LimitKeeper]:
    limits = Limits(DataPolicy(policies={"default": TenantPolicy(limits=TenantLimits(requests_in_flight=1))}))
    return limits, LimitKeeper(limits, database, shared=True, clock=loop.time)


def test_months_are_counted_across_restarts_and_processes(ledger_place: Path | str) -> None:
    async def main() -> None:
        clock = Clock()
        with closing(Database(ledger_place)) as database:
            limits, keeper = kept(database, clock, shared=False, gpu_s_per_month=10.0)
            await keeper.turn()
            call = admitted(limits, clock, gpu_s=1.0)
            assert call is not None
            limits.settle(call, 1, 6.0, clock())
            await keeper.turn(leaving=True)
        with closing(Database(ledger_place)) as database:
            limits, keeper = kept(database, clock, shared=False, gpu_s_per_month=10.0)
            await keeper.turn()
            await keeper.turn()
            account = limits.account(ACME)
            assert account.month.used(clock()) == 6.0
            assert admitted(limits, clock, gpu_s=5.0) is None
            call = admitted(limits, clock, gpu_s=4.0)
            assert call is not None
            limits.settle(call, 1, 4.5, clock())
            refused = limits.admit(ACME, 1, clock())
            assert isinstance(refused, Refused)
            assert refused.limit == GPU_MONTH
            # The clock stands at 2023-11-14 22:30:00 UTC.
            assert refused.retry_after_s == pytest.approx(16 * 86_400 + 3_600 + 1_800, abs=3_600)
            clock.now_s += refused.retry_after_s + 1
            await keeper.turn()
            assert admitted(limits, clock, gpu_s=5.0) is not None

    asyncio.run(main())


def test_a_month_is_shared_without_passing_its_limit(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        with closing(Database(tmp_path / "ledger.sqlite")) as database:
            pairs = [kept(database, clock, gpu_s_per_month=100.0) for _ in range(3)]
            used = 0.0
            for step in range(400):
                limits, keeper = pairs[step % 3]
                call = admitted(limits, clock, gpu_s=1.0)
                if call is not None:
                    limits.settle(call, 1, 1.0, clock())
                    used += 1.0
                await keeper.turn()
                clock.now_s += TURN_S
            assert 97.0 <= used <= 100.0

    asyncio.run(main())


def test_who_can_not_renew_its_share_stops_using_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        clock = Clock()
        with closing(Database(tmp_path / "ledger.sqlite")) as database:
            limits, keeper = kept(database, clock, requests_per_min=100)
            limits.account(ACME)
            await keeper.turn()
            assert admitted(limits, clock) is not None

            async def fails(_work: object) -> None:
                raise LedgerError("gone")

            monkeypatch.setattr(database, "run", fails)
            clock.now_s += EXPIRES_S - 0.1
            assert admitted(limits, clock) is not None
            clock.now_s += 0.2
            refused = limits.admit(ACME, 1, clock())
            assert isinstance(refused, Refused)
            assert "can't be shared" in refused.reason

    asyncio.run(main())


def test_without_limits_accounts_are_not_shared(tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        with closing(Database(tmp_path / "ledger.sqlite")) as database:
            limits, keeper = kept(database, clock)
            assert admitted(limits, clock) is not None
            await keeper.turn()
            account: TenantAccount = limits.account(ACME)
            assert [window.share for window in account.windows] == [inf] * 4

    asyncio.run(main())


WORKER = """
import asyncio, sys, time
from appliance.access.keeper import LimitKeeper
from appliance.access.limits import Limits
from appliance.domain.policy import DataPolicy, TenantLimits, TenantPolicy
from appliance.domain.tenant import Tenant
from appliance.errors import LimitReached
from appliance.ledger.database import Database

async def main(place):
    database = Database(place)
    limits = Limits(DataPolicy(policies={"default": TenantPolicy(limits=TenantLimits(
        requests_per_min=40, tokens_per_min=3_000))}))
    keeper = LimitKeeper(limits, database, shared=True)
    limits.account(Tenant("acme"))
    print("ready", flush=True)
    sys.stdin.readline()
    running = asyncio.create_task(keeper.run())
    tenant, tokens, count = Tenant("acme"), 0, 0
    async def one():
        nonlocal tokens, count
        request = limits.account(tenant).request()
        try:
            await limits.enter(request, time.monotonic)
            held = request.reserve(100, 0.0, time.monotonic())
        except LimitReached:
            request.leave(time.monotonic())
            return
        await asyncio.sleep(0.01)
        request.settle(held, 90, 0.0, time.monotonic())
        request.leave(time.monotonic())
        tokens, count = tokens + 90, count + 1
    ends = time.monotonic() + 6
    while time.monotonic() < ends and count < 15:
        await asyncio.gather(*(one() for _ in range(min(5, 15 - count))))
        await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    database.close()
    print(count, tokens)

asyncio.run(main(sys.argv[1]))
"""


def test_real_processes_together_keep_the_limit(ledger_place: Path | str) -> None:
    """Each asks for 15 requests, and 33 fit: whoever comes first, one alone never has enough."""
    Database(ledger_place).close()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", textwrap.dedent(WORKER), str(ledger_place)]
    workers = [
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:  # all at once
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    counts, tokens = [], []
    for worker in workers:
        out, error = worker.communicate(timeout=120)
        assert worker.returncode == 0, error
        count, used = map(int, out.splitlines()[-1].split())
        counts.append(count)
        tokens.append(used)
    assert sum(tokens) <= 3_000
    assert sum(counts) <= 40
    assert sum(tokens) >= 0.8 * 3_000
