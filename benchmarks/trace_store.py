"""Whether a full ledger is as quick as a small one: reading, listing, saving and pruning, side by side.

`python -m benchmarks.trace_store` fills two ledgers, of 1,000 and of 100,000 traces, asks both in turn, prunes half
of the large one while traces are saved, and writes the milliseconds, their ratios and the machine to
`results/trace-store.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from appliance.domain.model import Role
from appliance.domain.request import ChatMessage, ChatRequest, Usage
from appliance.domain.trace import (
    BudgetRecord,
    CallRecord,
    Decision,
    Outcome,
    TaskRecord,
    Trace,
    Verdict,
    VerdictRecord,
)
from appliance.ledger.database import Database
from appliance.ledger.trace_query import TraceQuery
from appliance.ledger.trace_store import TraceStore
from benchmarks import machine
from benchmarks.starter.statistics import percentile

RECORD = Path(__file__).parent / "results" / "trace-store.json"
SMALL, LARGE = 1_000, 100_000
ROUNDS = 300
TENANTS = 20
SEED = 8
PROMPT = "The text of a question, of a task or of an answer, as long as such are. " * 4


def trace(number: int) -> Trace:
    """A request of four tasks and ten calls with contents: about 9 kB. One in a thousand failed."""
    tasks = tuple(TaskRecord(f"s{n}", "math", (), Outcome.OK, 1, 1, PROMPT, "84") for n in range(1, 5))
    calls = tuple(_call(n, f"s{1 + n // 2 % 4}", Role.VERIFIER if n % 2 else Role.EXECUTOR) for n in range(10))
    verdicts = tuple(
        VerdictRecord(task.task_id, 1, Verdict.PASS, 0.98, 0.5, "last_token", "verifier") for task in tasks
    )
    return Trace(
        trace_id=f"{number:032x}",
        request_id=f"req-{number}",
        tenant=f"tenant-{number % TENANTS}",
        requested_model="auto",
        created_unix_s=1_700_000_000.0 + number,
        duration_s=1.5,
        decision=Decision("direct" if number % 2 else "plan_execute_verify", ("4 cues ≥ 2",)),
        tasks=tasks,
        calls=calls,
        verdicts=verdicts,
        fallbacks=(),
        budget=BudgetRecord(48, 12_000, 60.0, 10, 1_000, 1.5),
        usage=Usage(800, 200),
        outcome=Outcome.OK if number % 1_000 else Outcome.ERROR,
        question=PROMPT,
        answer="84",
        request=ChatRequest("auto", (ChatMessage("user", PROMPT),)),
    )


def _call(number: int, task_id: str, role: Role) -> CallRecord:
    return CallRecord(
        call_id=f"c{number}",
        task_id=task_id,
        role=role,
        model_id=f"model-{role.value}",
        engine_id=f"model-{role.value}-0",
        attempt=1,
        started_s=0.1 * number,
        queue_s=0.01,
        engine_s=0.09,
        first_token_s=0.03,
        usage=Usage(80, 20),
        outcome=Outcome.OK,
        prompt=PROMPT,
        answer="working;84",
    )


async def measure(folder: Path, small: int, large: int) -> dict[str, Any]:
    """Milliseconds of both, their ratios, and what pruning does to saves."""
    with closing(Database(folder / "small")) as one, closing(Database(folder / "large")) as other:
        stores = {small: TraceStore(one), large: TraceStore(other)}
        for count, store in stores.items():
            await _fill(store, count)
        figures = {name: await _asked(stores, ask) for name, ask in _asks().items()}
        return {"traces": [small, large], "milliseconds": figures, "pruning": await _pruned(stores[large], large)}


Ask = Callable[[TraceStore, int, random.Random], Awaitable[object]]


def _asks() -> dict[str, Ask]:
    return {
        "get": lambda store, count, draw: store.get(f"{draw.randrange(count):032x}"),
        "list": lambda store, count, draw: store.page(TraceQuery(_tenant(draw))),
        "list of failures": lambda store, count, draw: store.page(TraceQuery("tenant-0", outcome=Outcome.ERROR)),
        "list from the middle": lambda store, count, draw: store.page(
            TraceQuery(_tenant(draw), cursor=f"{1_700_000_000.0 + count // 2!r}~z")
        ),
        "save": lambda store, count, draw: store.save(trace(draw.randrange(count))),
    }


def _tenant(draw: random.Random) -> str:
    return f"tenant-{draw.randrange(TENANTS)}"


async def _fill(store: TraceStore, count: int) -> None:
    for start in range(0, count, 500):
        await asyncio.gather(*(store.save(trace(number)) for number in range(start, min(count, start + 500))))


async def _asked(stores: dict[int, TraceStore], ask: Ask) -> dict[str, float]:
    """P50 of each store, asked in turn, so that other load on the machine meets both alike."""
    draw, taken = random.Random(SEED), {count: list[float]() for count in stores}
    for _ in range(ROUNDS):
        for count, store in stores.items():
            began_s = time.perf_counter()
            await ask(store, count, draw)
            taken[count].append(1000 * (time.perf_counter() - began_s))
    small, large = (percentile(times, 50) for times in taken.values())
    return {"small_p50": round(small, 3), "large_p50": round(large, 3), "ratio": round(large / small, 2)}


async def _pruned(store: TraceStore, count: int) -> dict[str, float]:
    """Half of the ledger deleted while one trace after the other is saved."""
    alone, beside = await _saves(store, asyncio.create_task(asyncio.sleep(1))), list[float]()
    began_s = time.perf_counter()
    pruning = asyncio.create_task(store.prune(1_700_000_000.0 + count // 2, 0.0))
    beside = await _saves(store, pruning)
    return {
        "traces": await pruning,
        "traces_per_s": round(await pruning / (time.perf_counter() - began_s)),
        "save_alone_p95_ms": round(percentile(alone, 95), 3),
        "save_meanwhile_p95_ms": round(percentile(beside, 95), 3),
    }


async def _saves(store: TraceStore, until: asyncio.Task[Any]) -> list[float]:
    taken = []
    while not until.done():
        began_s = time.perf_counter()
        await store.save(replace(trace(1), trace_id="f" * 32, created_unix_s=2e9))
        taken.append(1000 * (time.perf_counter() - began_s))
    return taken


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=LARGE, help="in the large ledger")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(Path(folder), SMALL, arguments.traces))
    table = Table(title=f"milliseconds at P50, {SMALL:,} and {arguments.traces:,} traces")
    for heading in ("", "small", "large", "ratio"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, row in result["milliseconds"].items():
        table.add_row(name, *(f"{row[key]}" for key in ("small_p50", "large_p50", "ratio")))
    console = Console()
    console.print(table)
    console.print("pruning:", result["pruning"])
    RECORD.write_text(json.dumps({"machine": machine.describe(), **result}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
