"""Overload: what is answered at up to three times what can be done, who gets it, and whether `retry-after` is true.

A seeded simulation on virtual time around the appliance's own dispatcher (lines, order, admission, shares of tenants).
`python benchmarks/overload.py` prints the table and records it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))

from appliance.dispatch.dispatcher import Dispatcher  # noqa: E402
from appliance.domain.engine import EngineState, EngineStatus  # noqa: E402
from appliance.domain.fleet import Fleet  # noqa: E402
from appliance.domain.model import Role  # noqa: E402
from appliance.domain.policy import DataPolicy, TenantPolicy  # noqa: E402
from appliance.domain.request import CallChunk, CallContext, EngineCall  # noqa: E402
from appliance.errors import EngineUnavailable, Overloaded  # noqa: E402
from benchmarks import machine  # noqa: E402
from tests.fakes.virtual_time import run  # noqa: E402

RESULTS: Final = ROOT / "benchmarks" / "results" / "overload.json"

ENGINES, SLOTS = 2, 8
MEAN_S: Final = 2.0
"""Of one call."""
CHAIN_SHARE, CHAIN_CALLS = 0.2, 4
"""So many requests are trees: calls one after the other."""
DEADLINE_S: Final = 60.0
CAPACITY_CALLS_S: Final = ENGINES * SLOTS / MEAN_S
CALLS_PER_REQUEST: Final = 1 + CHAIN_SHARE * (CHAIN_CALLS - 1)

WEIGHTS: Final = {"flood": 1.0, "steady": 1.0, "large": 2.0}
OFFERED: Final = {"flood": 0.6, "steady": 0.15, "large": 0.25}
"""Part of all requests that each tenant sends."""


@dataclass(slots=True)
class Tally:
    """What became of the requests of one run. Work is in seconds of engine slots."""

    offered: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    good_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    waits_s: list[float] = field(default_factory=list)
    retries_s: list[float] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)
    worked_s: float = 0.0


class Client:
    """An engine that takes as long as the call says."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def stream_chat(
        self, _engine: EngineStatus, call: EngineCall, _ctx: CallContext
    ) -> AsyncGenerator[CallChunk]:
        """The call, chunk by chunk."""
        began_s = asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(float(call.params["seconds"]))
            yield CallChunk(text="x", finish_reason="stop")
        finally:
            self._tally.worked_s += asyncio.get_running_loop().time() - began_s


class Simulation:
    """One run. `polite`: who is refused tries again when it was told to, until its deadline."""

    def __init__(self, load: float, seed: int, seconds: float, *, polite: bool) -> None:
        self._random = random.Random(seed)
        self._rate_s = load * CAPACITY_CALLS_S / CALLS_PER_REQUEST
        self._seconds = seconds
        self._polite = polite
        self.tally = Tally()

    async def run(self) -> Tally:
        """Send for `seconds`; what is under way afterwards is waited for and does not count."""
        loop = asyncio.get_running_loop()
        policy = DataPolicy(policies={name: TenantPolicy(weight=weight) for name, weight in WEIGHTS.items()})
        fleet = Fleet()
        fleet.publish(tuple(_engine(number) for number in range(ENGINES)))
        self._dispatcher = Dispatcher(fleet, Client(self.tally), loop.time, policy=policy)
        self._ends_s = loop.time() + self._seconds
        tasks = []
        number = 0
        while loop.time() < self._ends_s:
            await asyncio.sleep(self._random.expovariate(self._rate_s))
            number += 1
            tasks.append(asyncio.create_task(self._request(number)))
        worked_s = self.tally.worked_s
        await asyncio.gather(*tasks)
        self.tally.worked_s = worked_s
        return self.tally

    async def _request(self, number: int) -> None:
        loop, tally = asyncio.get_running_loop(), self.tally
        tenant = self._random.choices(list(OFFERED), list(OFFERED.values()))[0]
        calls = CHAIN_CALLS if self._random.random() < CHAIN_SHARE else 1
        lengths = [self._random.expovariate(1 / MEAN_S) for _ in range(calls)]
        came_s, tries = loop.time(), 0
        tally.offered[tenant] += 1
        while True:
            tries += 1
            try:
                await self._answer(f"r{number}-{tries}", tenant, lengths, came_s + DEADLINE_S)
                break
            except Overloaded as refusal:
                tally.retries_s.append(refusal.retry_after_s)
                if not self._polite or loop.time() + refusal.retry_after_s >= came_s + DEADLINE_S:
                    tally.refused[tenant] += 1
                    return
                await asyncio.sleep(refusal.retry_after_s)
            except EngineUnavailable:
                tally.refused[tenant] += 1
                return
        ended_s = loop.time()
        tally.tries.append(tries)
        if ended_s > came_s + DEADLINE_S:
            tally.late[tenant] += 1
        elif ended_s <= self._ends_s:
            tally.answered[tenant] += 1
            tally.good_s[tenant] += sum(lengths)
            tally.waits_s.append(ended_s - came_s - sum(lengths))

    async def _answer(self, request_id: str, tenant: str, lengths: list[float], deadline_s: float) -> None:
        with self._dispatcher.opened(request_id):
            for index, seconds in enumerate(lengths):
                left = len(lengths) - index
                ctx = CallContext(
                    request_id=request_id,
                    trace_id=request_id,
                    task_id=f"t{index}",
                    role=Role.GENERALIST,
                    tenant=tenant,
                    priority=0,
                    deadline_s=deadline_s,
                    remaining_tokens=1_000,
                    cache_salt="",
                    policy=tenant,
                    calls_after=left - 1,
                    calls_left=left,
                )
                call = EngineCall("m", ({"role": "user", "content": "x"},), 10, {"seconds": seconds})
                async for _ in self._dispatcher.stream(call, ctx):
                    pass


def _engine(number: int) -> EngineStatus:
    return EngineStatus(f"m-{number}", "m", EngineState.READY, "http://m", "key", 4096, SLOTS)


def measured(load: float, seed: int, seconds: float, *, polite: bool = False) -> dict[str, Any]:
    """Figures of one run; goodput is a part of what the engines can do."""
    tally = run(Simulation(load, seed, seconds, polite=polite).run())
    capacity_s = ENGINES * SLOTS * seconds
    good = {tenant: tally.good_s[tenant] / capacity_s for tenant in WEIGHTS}
    waits = sorted(tally.waits_s)
    return {
        "load": load,
        "goodput": round(sum(good.values()), 4),
        "busy": round(tally.worked_s / capacity_s, 4),
        "by_tenant": {tenant: round(part, 4) for tenant, part in good.items()},
        "offered": dict(tally.offered),
        "answered": dict(tally.answered),
        "refused": dict(tally.refused),
        "late": sum(tally.late.values()),
        "wait_p50_s": round(statistics.median(waits), 2),
        "wait_p99_s": round(waits[int(len(waits) * 0.99)], 2),
        "retry_after_p50_s": round(statistics.median(tally.retries_s), 2) if tally.retries_s else None,
        "tries_mean": round(statistics.fmean(tally.tries), 3),
        "answered_at_second_try": _second(tally.tries),
    }


def _second(tries: list[int]) -> float | None:
    """Of those that were refused once and were answered, how many were so at the very next try."""
    again = [count for count in tries if count > 1]
    return round(sum(count == 2 for count in again) / len(again), 4) if again else None


def fair_parts(load: float) -> dict[str, float]:
    """What each tenant would get of the capacity by its weight, none more than it asks for."""
    wants = {tenant: load * part for tenant, part in OFFERED.items()}
    parts = dict.fromkeys(wants, 0.0)
    left, open_ = 1.0, set(wants)
    while open_ and left > 1e-9:
        total = sum(WEIGHTS[tenant] for tenant in open_)
        full = {tenant for tenant in open_ if wants[tenant] <= left * WEIGHTS[tenant] / total}
        if not full:
            return parts | {tenant: left * WEIGHTS[tenant] / total for tenant in open_}
        for tenant in full:
            parts[tenant] = wants[tenant]
        left, open_ = left - sum(wants[tenant] for tenant in full), open_ - full
    return parts


def main() -> None:
    """Run, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1_200.0, help="virtual seconds of each run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--record", type=Path, default=RESULTS, metavar="FILE")
    said = parser.parse_args()
    rows, polite = [], []
    for load in (0.5, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0):
        rows.append(_mean([measured(load, seed, said.seconds) for seed in range(said.seeds)]))
        print(_line(rows[-1]))
    print("those who are refused try again when they are told to:")
    for load in (1.5, 3.0):
        polite.append(_mean([measured(load, seed, said.seconds, polite=True) for seed in range(said.seeds)]))
        print(_line(polite[-1]))
    peak = max(row["goodput"] for row in rows)
    at_3 = rows[-1]["goodput"] / peak
    fair = fair_parts(3.0)
    print(f"goodput at 3x: {at_3:.1%} of the peak; fair parts at 3x: {fair}")
    document = {
        "machine": machine.describe(),
        "seconds": said.seconds,
        "seeds": said.seeds,
        "weights": WEIGHTS,
        "offered": OFFERED,
        "rows": rows,
        "polite": polite,
        "goodput_at_3x_of_peak": round(at_3, 4),
        "fair_parts_at_3x": fair,
    }
    said.record.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of several seeds."""
    first = rows[0]
    found: dict[str, Any] = {}
    for key, value in first.items():
        values = [row[key] for row in rows if row[key] is not None]
        if isinstance(value, dict):
            found[key] = {name: round(statistics.fmean(row[key].get(name, 0) for row in rows), 4) for name in WEIGHTS}
        else:
            found[key] = round(statistics.fmean(values), 4) if values else None
    return found


def _line(row: dict[str, Any]) -> str:
    parts = "  ".join(f"{tenant} {part:.3f}" for tenant, part in row["by_tenant"].items())
    return (
        f"load {row['load']:.1f}  goodput {row['goodput']:.3f}  busy {row['busy']:.3f}  {parts}  "
        f"wait p50 {row['wait_p50_s']:.1f} p99 {row['wait_p99_s']:.1f} s  late {row['late']:.0f}  "
        f"retry-after {row['retry_after_p50_s']}  tries {row['tries_mean']}  second {row['answered_at_second_try']}"
    )


if __name__ == "__main__":
    main()
