"""What the coordinator itself costs: processor time of a task, and seconds beside the critical path of its graph.

`python benchmarks/coordinator_overhead.py [--only cpu|path] [--repeats N] [--record FILE]`. Engines are a clock and
nothing else (`coordinator_mock.py`), so all that is measured is ours. Each way is measured in turn, again and again, so
that other load on the machine meets all of them; the figures are medians. The last line is for scripts.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))

import uvloop  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks import machine  # noqa: E402
from benchmarks.coordinator_mock import Bench, bench, chain, diamond, longest, plan_of, wide  # noqa: E402

DEFAULT_RECORD = ROOT / "benchmarks" / "results" / "coordinator_overhead.json"
SECTIONS = ("cpu", "path")
AIM_TASK_US, AIM_PATH = 100, 1.02
SMALL, LARGE = 4, 16
"""Tasks of two graphs: the difference is what tasks cost, without what a request costs once."""
REQUESTS, AT_ONCE = 100, 4
CALL_S = (0.05, 0.2)
GRAPHS = {"one, three, one": diamond(), "four, one": wide(5), "a chain of five": chain(5)}
BARE, CALLS, UNWRITTEN, WHOLE = "bare asyncio", "the calls alone", "without the journal", "whole, with the journal"
WAYS = (BARE, CALLS, UNWRITTEN, WHOLE)
"""To have the same calls made. `CALLS`: prompt, budget, dispatch and usage, and no graph around them."""

Send = Callable[[Bench, str], Awaitable[object]]


def cpu(repeats: int) -> dict[str, Any]:
    """Microseconds of processor time, threads included, by way: of one more task, and of a request of five tasks."""
    sizes = (SMALL, 5, LARGE)
    spent: dict[tuple[str, int], list[float]] = {}
    for _, size, way in itertools.product(range(repeats), sizes, WAYS):
        spent.setdefault((way, size), []).append(uvloop.run(_cpu_us(way, size)))
    us = {key: median(values) for key, values in spent.items()}
    task_us = {way: (us[way, LARGE] - us[way, SMALL]) / (LARGE - SMALL) for way in WAYS}
    rows = [{"way": way, "task_us": round(task_us[way], 1), "request_of_five_us": round(us[way, 5], 1)} for way in WAYS]
    return {"rows": rows, "graph_task_us": round(task_us[WHOLE] - task_us[CALLS], 1), "repeats": repeats}


async def _cpu_us(way: str, tasks: int) -> float:
    needs = wide(tasks)
    with TemporaryDirectory() as directory:
        async with bench(plan_of(needs), directory=Path(directory) if way == WHOLE else None) as built:
            send: Send
            if way == BARE:
                send = lambda built, name: built.bare(name, needs)  # noqa: E731 (three ways side by side)
            elif way == CALLS:
                send = lambda built, name: built.calls(name, needs)  # noqa: E731
            else:
                send = Bench.answer
            await _all(built, send, 20)
            gc.collect()
            began_s = time.process_time()
            await _all(built, send, REQUESTS)
            await built.coordinator.close()  # traces that are still being saved count too
            return (time.process_time() - began_s) / REQUESTS * 1e6


async def _all(built: Bench, send: Send, requests: int) -> None:
    names = iter(range(requests))

    async def asker() -> None:
        for number in names:
            await send(built, f"r{number}")

    await asyncio.gather(*(asker() for _ in range(AT_ONCE)))


def path(repeats: int) -> dict[str, Any]:
    """Seconds of one request at a time ÷ those of the calls on its longest path, the planner's among them."""
    rows = []
    for (name, needs), call_s in itertools.product(GRAPHS.items(), CALL_S):
        critical_s = (1 + longest(needs)) * call_s
        seconds = uvloop.run(_seconds(plan_of(needs), call_s, name, repeats))
        ratios = {way: round(median(found) / critical_s, 4) for way, found in seconds.items()}
        rows.append({"graph": name, "call_s": call_s, "critical_s": critical_s, "ratios": ratios})
    return {"rows": rows, "repeats": repeats}


async def _seconds(plan: str, call_s: float, graph: str, repeats: int) -> dict[str, list[float]]:
    """Of each way, with the journal and the ledger on disk."""
    found: dict[str, list[float]] = {BARE: [], WHOLE: []}
    with TemporaryDirectory() as directory:
        async with bench(plan, call_s=call_s, directory=Path(directory)) as built:
            for number in range(repeats + 1):
                began_s = time.perf_counter()
                await built.bare("", {"plan": ()})
                await built.bare("", GRAPHS[graph])
                between_s = time.perf_counter()
                finished = await built.answer(f"r{number}")
                ended_s = time.perf_counter()
                assert finished.calls == 1 + len(GRAPHS[graph])
                if number:  # the first one warms up
                    found[BARE].append(between_s - began_s)
                    found[WHOLE].append(ended_s - between_s)
    return found


def tables(results: dict[str, Any]) -> list[Table]:
    """What was recorded."""
    found = []
    if "cpu" in results:
        table = Table(title="Processor time, µs", title_justify="left")
        for heading in ("", "one more task", "a request of five tasks"):
            table.add_column(heading, justify="right" if heading else "left")
        for row in results["cpu"]["rows"]:
            table.add_row(row["way"], f"{row['task_us']:.0f}", f"{row['request_of_five_us']:.0f}")
        table.add_row("graph and journal: whole − calls", f"{results['cpu']['graph_task_us']:.0f}", "", style="bold")
        found.append(table)
    if "path" in results:
        table = Table(title=f"Seconds ÷ critical path of five tasks and their plan (aim ≤ {AIM_PATH})")
        table.title_justify = "left"
        for heading in ("graph", "a call, ms", BARE, WHOLE):
            table.add_column(heading, justify="left" if heading == "graph" else "right")
        for row in results["path"]["rows"]:
            ratios = (f"{row['ratios'][way]:.4f}" for way in (BARE, WHOLE))
            table.add_row(row["graph"], f"{1000 * row['call_s']:.0f}", *ratios)
        found.append(table)
    return found


def summary(results: dict[str, Any]) -> dict[str, float]:
    """The figures that the aims are about."""
    said: dict[str, float] = {}
    if "cpu" in results:
        said |= {
            "graph_task_us": results["cpu"]["graph_task_us"],
            "whole_task_us": results["cpu"]["rows"][3]["task_us"],
        }
    if "path" in results:
        said["worst_path_ratio"] = max(row["ratios"][WHOLE] for row in results["path"]["rows"])
    return said


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sections, print the tables, record them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SECTIONS, action="append")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--record", type=Path, default=DEFAULT_RECORD)
    options = parser.parse_args(arguments)
    results = dict(json.loads(options.record.read_text(encoding="utf-8"))) if options.record.exists() else {}
    results["aims"] = {"task_us": AIM_TASK_US, "path_ratio": AIM_PATH}
    for name, section in (("cpu", cpu), ("path", path)):
        if options.only is None or name in options.only:
            results[name] = section(options.repeats) | {"machine": machine.describe()}
            options.record.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    console = Console(width=110)
    for table in tables(results):
        console.print(table)
    line = " ".join(f"{key}={value:g}" for key, value in summary(results).items())
    console.print("overhead", line, soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
