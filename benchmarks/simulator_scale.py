"""What the simulator costs, from 1 to 10,000 GPUs: `python -m benchmarks.simulator_scale`.

A site larger than a cell of 16 GPUs is several cells, each with a gateway of its own and its own share of the requests.
At every size a slice of time is simulated that is the shorter the more GPUs there are (about the same number of calls),
and the cost of a whole day is that of the slice, times what is missing: it is linear in time. `pool` puts all GPUs
behind one gateway instead, whose picker looks at every replica of a model, as the real one does.

The starter pool's kind of load is simulated too: five tiny models that share one machine.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))

from appliance.capacity.arrivals import arrivals  # noqa: E402
from appliance.capacity.engine_profile import EngineProfile, Source, StepCost  # noqa: E402
from appliance.capacity.outcome import Outcome, spread  # noqa: E402
from appliance.capacity.setup import EnginePlace, Setup  # noqa: E402
from appliance.capacity.simulator import simulate  # noqa: E402
from appliance.capacity.trees import CallShape, TreeSample  # noqa: E402
from appliance.domain.model import Role  # noqa: E402
from benchmarks import machine  # noqa: E402
from benchmarks.scheduling_workload import TOKENS  # noqa: E402

RESULTS: Final = ROOT / "benchmarks" / "results" / "simulator-scale.json"
DAY_S: Final = 86_400.0
CELL: Final = 16
SIZES: Final = (1, 4, 16, 64, 256, 1_024, 4_096, 10_000)
POOLS: Final = (16, 64, 256, 1_024)
MODELS: Final = {
    "planner": (Role.PLANNER, "planner"),
    "executor": (Role.EXECUTOR, "general"),
    "verifier": (Role.VERIFIER, "verifier"),
    "generalist": (Role.GENERALIST, "generalist"),
}
"""Model → its role, and whose tokens it reads and writes."""
STEP: Final = StepCost(0.010, 3e-5, 3e-5, 1e-8, 1e-10, 0.4)
"""Of the order of an 8B model on a card of the L40S' class, by the roofline."""
STARTER_STEP: Final = StepCost(0.004, 3e-5, 2e-4, 1e-7, 0.0, 0.1)
MIX: Final = {"direct": 0.7, "team": 0.3}
RATE_PER_GPU: Final = 0.5
"""Requests per second: engines are busy most of the time, and nothing piles up."""


def engine(model: str, step: StepCost, seqs: int, share: float) -> EngineProfile:
    """One engine of a model."""
    return EngineProfile(
        model, "r1", "gpu", "0.33.0", step, 120_000, 16, seqs, 8192, 16_384, Source.UNMEASURED, device_share=share
    )


def trees(seed: int, scale: float, count: int = 200) -> dict[str, tuple[TreeSample, ...]]:
    """Direct requests, and plans of one to four tasks of which each is verified; tokens are `scale` times the usual."""
    draw = random.Random(seed)

    def call(model: str, *waits_for: int) -> CallShape:
        role, tokens = MODELS[model]
        prompt, answer = (max(2, round(mean * scale * draw.lognormvariate(-0.125, 0.5))) for mean in TOKENS[tokens])
        return CallShape(role, model, min(prompt, 8000), min(answer, 2000), 0, waits_for, 0.002)

    def team() -> TreeSample:
        calls, tasks = [call("planner")], draw.randint(1, 4)
        for task in range(tasks):
            needs = (len(calls) - 1,) if task and draw.random() < 1 / 3 else (0,)
            calls.append(call("executor", *needs))
            calls.append(call("verifier", len(calls) - 1))
        return TreeSample(tuple(calls), 0.002)

    direct = tuple(TreeSample((call("generalist"),), 0.001, 0) for _ in range(count))
    return {"direct": direct, "team": tuple(team() for _ in range(count))}


def setup(gpus: int) -> Setup:
    """All models on each GPU, where there are fewer GPUs than models; else one engine on each GPU, in turn."""
    if gpus < len(MODELS):
        places = [(model, f"gpu{number % gpus}") for number, model in enumerate(MODELS)]
    else:
        places = [(list(MODELS)[number % len(MODELS)], f"gpu{number}") for number in range(gpus)]
    return Setup(
        tuple(EnginePlace(f"e{n}", engine(model, STEP, 64, 1.0), gpu) for n, (model, gpu) in enumerate(places)),
        deadline_s=600.0,
    )


def starter() -> Setup:
    """Five engines on one machine of two cores."""
    names = ("planner", "executor", "text", "verifier", "generalist")
    return Setup(tuple(EnginePlace(name, engine(name, STARTER_STEP, 16, 0.6), "cpu") for name in names))


def timed(pool: Setup, load: Mapping[str, Sequence[TreeSample]], rate: float, seconds: float) -> dict[str, float]:
    """One run: its cost in processor time, and what it did."""
    began = time.process_time()
    outcome: Outcome = simulate(pool, arrivals(load, MIX, rate, seconds, seed=1))
    cost_s = time.process_time() - began
    calls = sum(use.calls for use in outcome.engines)
    found = spread(request.took_s or 0.0 for request in outcome.answered())
    return {
        "requests": len(outcome.requests),
        "failed": outcome.failed(),
        "calls": calls,
        "simulated_s": seconds,
        "cost_s": cost_s,
        "busiest": outcome.busiest().busy_share,
        "mean_s": found.mean if found else 0.0,
        "us_per_call": cost_s / max(1, calls) * 1e6,
        "times_real_time": seconds / cost_s,
    }


def site(gpus: int, calls: int) -> dict[str, Any]:
    """A site in cells: as many of them as there are, each for its slice."""
    load = trees(1, 1.0)
    cells = max(1, gpus // CELL)
    per_cell = min(gpus, CELL)
    rate = RATE_PER_GPU * per_cell
    slice_s = min(DAY_S, max(60.0, calls / (rate * cells * 3)))
    rows = [timed(setup(per_cell), load, rate, slice_s) for _ in range(cells)]
    row = {key: sum(each[key] for each in rows) for key in ("requests", "failed", "calls", "cost_s")}
    day_s = row["cost_s"] * DAY_S / slice_s
    return {
        "gpus": gpus,
        "cells": cells,
        **row,
        "simulated_s": slice_s,
        "us_per_call": row["cost_s"] / row["calls"] * 1e6,
        "cost_s_per_gpu_hour": row["cost_s"] / gpus / slice_s * 3600,
        "busiest": max(each["busiest"] for each in rows),
        "day_cost_s": day_s,
        "day_cost_s_one_cell": day_s / cells,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=60_000, help="about, at each size")
    parser.add_argument("--record", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    sites = [site(gpus, options.calls) for gpus in SIZES]
    load = trees(1, 1.0)
    pools = [
        {"gpus": n, **timed(setup(n), load, RATE_PER_GPU * n, options.calls / 3 / RATE_PER_GPU / n)} for n in POOLS
    ]
    small = trees(1, 0.05)
    rates = [{"rate": rate, **timed(starter(), small, rate, options.calls / 9 / rate)} for rate in (1.0, 2.0, 4.0)]
    document = {"sites": sites, "pools": pools, "starter": rates, "machine": machine.describe()}
    options.record.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    console = Console(width=120)
    console.print(_sites(sites))
    console.print(_others("All behind one gateway", "GPUs", [(f"{row['gpus']:.0f}", row) for row in pools]))
    console.print(_others("The starter pool", "requests/s", [(f"{row['rate']:g}", row) for row in rates]))


def _sites(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=f"Cells of {CELL} GPUs", title_justify="left")
    for heading in ("GPUs", "slice, s", "calls", "µs a call", "s per GPU-hour", "a day, min", "of one cell, min"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row['gpus']:,}",
            f"{row['simulated_s']:.0f}",
            f"{row['calls']:,}",
            f"{row['us_per_call']:.0f}",
            f"{row['cost_s_per_gpu_hour']:.3f}",
            f"{row['day_cost_s'] / 60:,.1f}",
            f"{row['day_cost_s_one_cell'] / 60:.1f}",
        )
    return table


def _others(title: str, first: str, rows: Sequence[tuple[str, Mapping[str, float]]]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in (first, "calls", "µs a call", "times real time", "busiest engine"):
        table.add_column(heading, justify="right")
    for name, row in rows:
        times, busy = f"{row['times_real_time']:,.0f}", f"{row['busiest']:.0%}"
        table.add_row(name, f"{row['calls']:,.0f}", f"{row['us_per_call']:.0f}", times, busy)
    return table


if __name__ == "__main__":
    main()
