"""Mean and tail of whole requests under each order of waiting calls, on a seeded simulation of two pools.

`python benchmarks/scheduling.py [--only orders|peak|deadlines|ahead|cost] [--seeds N] [--requests N] [--jobs N]
[--record FILE]`. Sections that are not run keep their last recorded figures. What is asked of the pools stands in
`scheduling_workload.py`, and how they work in `scheduling_simulation.py`. The last line is for scripts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from appliance.dispatch.admission import AdmissionLimits  # noqa: E402
from benchmarks import machine, scheduling_cost  # noqa: E402
from benchmarks.scheduling_policies import POLICIES  # noqa: E402
from benchmarks.scheduling_simulation import Conditions, Outcome, simulate  # noqa: E402
from benchmarks.scheduling_workload import NODE, Workload, alone_s, full_rate  # noqa: E402

DEFAULT_RECORD = ROOT / "benchmarks" / "results" / "scheduling.json"
BASELINE, OURS = "first come first served", "appliance"
LOADS = (0.8, 0.85, 0.9)
WORKLOADS = (
    Workload("standard"),
    Workload("deep trees", most_tasks=64),
    Workload("Poisson", variation=1.0),
    Workload("four cards", pool=NODE),
    Workload("all equal", equal=True),
)
STANDARD, DEEP = WORKLOADS[0], WORKLOADS[1]
WIDTH = 150
FIRST_SEED = 100
"""Those below it were used while the order was being found, so the figures are of others."""
WARM_UP = 0.1
"""Share of the requests that come before the measuring begins."""
OVERLOAD = 1.3
"""Offered load where the peak is measured."""
DEADLINE_S, DEADLINE_LOADS = 120.0, (0.9, 1.0, 1.1)
"""The default budget of a request, and loads at which it matters."""
GAP_S, AHEADS = 0.01, (0, 1, 2, 4)
"""From the last token of a call to the first prompt token of the next one in its slot: two exchanges and a step."""

Job = tuple[Workload, Conditions, int, float, int]
"""Workload, conditions, seed, requests per second, requests."""


def times(workload: Workload, outcome: Outcome) -> dict[str, Any]:
    """Seconds from arrival to answer, of all requests and of the two classes; slowdown against an empty pool."""
    measured = outcome.doings[int(len(outcome.doings) * WARM_UP) :]
    answered = [(d.answered_s - d.request.at_s, d.request) for d in measured if d.answered_s is not None]
    return {
        "answered": len(answered) / len(measured),
        "all": spread([seconds for seconds, _ in answered]),
        "easy": spread([seconds for seconds, request in answered if not request.hard]),
        "hard": spread([seconds for seconds, request in answered if request.hard]),
        "slowdown": spread([seconds / alone_s(workload.pool, request) for seconds, request in answered]),
    }


def spread(seconds: list[float]) -> dict[str, float]:
    """Mean and percentiles; empty for no values."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    percentiles = {f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 95, 99)}
    return {"mean": mean(ordered), **percentiles}


def run_times(job: Job) -> dict[str, Any]:
    """One run, of which nothing but its figures leaves the process."""
    workload, conditions, seed, rate, requests = job
    return times(workload, simulate(workload, conditions, seed, rate, requests))


def run_peak(job: Job) -> dict[str, Any]:
    """Answer tokens and whole requests per second between a third of an overload and its end."""
    workload, conditions, seed, rate, requests = job
    until_s = requests / rate
    outcome = simulate(workload, replace(conditions, until_s=until_s), seed, rate, requests)
    seconds, from_s = until_s * 2 / 3, until_s / 3
    answered = [d.answered_s for d in outcome.doings if d.answered_s is not None]
    return {
        "tokens_per_s": sum(tokens for at_s, tokens in outcome.ended if at_s >= from_s) / seconds,
        "requests_per_s": sum(at_s >= from_s for at_s in answered) / seconds,
    }


def averaged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds, figure by figure."""
    return {
        key: averaged([row[key] for row in rows]) if isinstance(value, dict) else mean(row[key] for row in rows)
        for key, value in rows[0].items()
    }


class Bench:
    """Runs jobs in processes, `seeds` runs for each figure."""

    def __init__(self, jobs: int, seeds: int, requests: int) -> None:
        self.jobs, self.seeds, self.requests = jobs, range(FIRST_SEED, FIRST_SEED + seeds), requests

    def each(
        self, function: Callable[[Job], dict[str, Any]], cases: Sequence[tuple[Workload, Conditions, float]]
    ) -> list[dict[str, Any]]:
        """The average of each case, with what it was."""
        full = {w.name: full_rate(w) for w in WORKLOADS}
        work = [(w, c, seed, load * full[w.name], self.requests) for w, c, load in cases for seed in self.seeds]
        with ProcessPoolExecutor(self.jobs) as pool:
            rows = list(pool.map(function, work, chunksize=2))
        return [
            {"workload": w.name, "policy": c.policy, "load": load}
            | averaged(rows[n * len(self.seeds) : (n + 1) * len(self.seeds)])
            | {"of_seeds": rows[n * len(self.seeds) : (n + 1) * len(self.seeds)]}
            for n, (w, c, load) in enumerate(cases)
        ]

    def orders(self) -> dict[str, Any]:
        """Every policy on every workload at every load: all requests are answered, none is turned away."""
        cases = [(w, Conditions(p), load) for w in WORKLOADS for load in LOADS for p in POLICIES]
        return {"rows": self.each(run_times, cases)}

    def peak(self) -> dict[str, Any]:
        """More is asked than can be done."""
        cases = [(w, Conditions(p), OVERLOAD) for w in (STANDARD, DEEP) for p in POLICIES]
        return {"rows": self.each(run_peak, cases)}

    def deadlines(self) -> dict[str, Any]:
        """With the deadline and the limits of admission that are shipped: the share answered in time."""
        cases = [
            (STANDARD, Conditions(p, AdmissionLimits(), DEADLINE_S), load)
            for load in DEADLINE_LOADS
            for p in (BASELINE, "first request first", "least attained service", OURS)
        ]
        return {"deadline_s": DEADLINE_S, "rows": self.each(run_times, cases)}

    def ahead(self) -> dict[str, Any]:
        """Whether calls sent beyond an engine's slots gain throughput, and what they do to the times."""
        cases = [(STANDARD, Conditions(OURS, gap_s=GAP_S, ahead=n)) for n in AHEADS]
        peak = self.each(run_peak, [(w, c, OVERLOAD) for w, c in cases])
        slow = self.each(run_times, [(w, c, 0.9) for w, c in cases])
        rows = [a | {"all": b["all"], "ahead": n} for a, b, n in zip(peak, slow, AHEADS, strict=True)]
        return {"gap_s": GAP_S, "rows": rows}

    def cost(self) -> dict[str, Any]:
        """The real dispatcher, 10,000 calls in one line."""
        return {"rows": [dict(scheduling_cost.measure())]}


SECTIONS = ("orders", "peak", "deadlines", "ahead", "cost")


def ratios(rows: list[dict[str, Any]], figures: Callable[[dict[str, Any]], float]) -> list[float]:
    """Of each row: the baseline's figure over its own, where both stand on one workload and load."""
    base = {(row["workload"], row["load"]): figures(row) for row in rows if row["policy"] == BASELINE}
    return [base[row["workload"], row["load"]] / figures(row) for row in rows]


def orders_table(rows: list[dict[str, Any]]) -> Table:
    """Seconds by policy, and how often better than first come first served."""
    seconds, better = ("mean", "P50", "P95", "P99", "easy", "hard"), ("mean ×", "P95 ×", "P99 ×")
    headings = ("workload", "load", "order", *seconds, "slowdown", *better)
    table = _table("Seconds from a request to its answer", headings)
    factors = [ratios(rows, lambda row, p=p: row["all"][p]) for p in ("mean", "p95", "p99")]  # type: ignore[misc]
    for row, *times_better in zip(rows, *factors, strict=True):
        values = [row["all"][p] for p in ("mean", "p50", "p95", "p99")]
        values += [row[kind].get("mean", float("nan")) for kind in ("easy", "hard", "slowdown")]
        cells = (*(f"{value:.1f}" for value in values), *(f"{factor:.2f}" for factor in times_better))
        last = row["policy"] == list(POLICIES)[-1]
        table.add_row(row["workload"], f"{row['load']:.0%}", row["policy"], *cells, end_section=last)
    return table


def other_tables(results: dict[str, Any]) -> list[Table]:
    """Peak, deadlines, calls sent ahead, cost."""
    peak = _table(f"Peak: {OVERLOAD:.0%} of what can be done is asked", ("workload", "order", "tokens/s", "requests/s"))
    for row in results.get("peak", {}).get("rows", ()):
        peak.add_row(row["workload"], row["policy"], f"{row['tokens_per_s']:.1f}", f"{row['requests_per_s']:.3f}")
    late = _table(f"Answered within {DEADLINE_S:.0f} s, limits as shipped", ("load", "order", "all", "mean of those"))
    for row in results.get("deadlines", {}).get("rows", ()):
        late.add_row(f"{row['load']:.0%}", row["policy"], f"{row['answered']:.1%}", f"{row['all']['mean']:.1f}")
    ahead = _table(
        f"Calls sent beyond the slots, gap {GAP_S * 1000:.0f} ms", ("calls", "tokens/s", "mean at 90%", "P95")
    )
    for row in results.get("ahead", {}).get("rows", ()):
        seconds = row["all"]
        ahead.add_row(
            str(row["ahead"]), f"{row['tokens_per_s']:.1f}", f"{seconds['mean']:.1f}", f"{seconds['p95']:.1f}"
        )
    cost = _table("Processor time of the dispatcher", ("calls waiting", "to join, µs", "to be served, µs"))
    for row in results.get("cost", {}).get("rows", ()):
        cost.add_row(f"{row['calls']:.0f}", f"{row['join_us']:.0f}", f"{row['serve_us']:.0f}")
    return [table for table in (peak, late, ahead, cost) if table.row_count]


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"workload", "order"} else "right")
    return table


def summary(results: dict[str, Any]) -> dict[str, float]:
    """Ours against first come first served: times better, and the share of the peak that is lost."""
    out: dict[str, float] = {}
    rows = results.get("orders", {}).get("rows", ())
    for figure in ("mean", "p95"):
        better = ratios(rows, lambda row, figure=figure: row["all"][figure])  # type: ignore[misc]
        for row, factor in zip(rows, better, strict=True):
            if row["policy"] == OURS and row["workload"] in (STANDARD.name, DEEP.name):
                out[f"{row['workload'].split()[0]}_{row['load'] * 100:.0f}_{figure}"] = round(factor, 2)
    peaks = {(r["workload"], r["policy"]): r["tokens_per_s"] for r in results.get("peak", {}).get("rows", ())}
    losses = [1 - peaks[w.name, OURS] / peaks[w.name, BASELINE] for w in (STANDARD, DEEP) if peaks]
    return out | ({"peak_loss": round(max(losses), 4)} if losses else {})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sections, print the tables, record them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SECTIONS, action="append")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=4000, help="of one run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--record", type=Path, default=DEFAULT_RECORD)
    options = parser.parse_args(arguments)
    bench = Bench(options.jobs, options.seeds, options.requests)
    results = dict(json.loads(options.record.read_text(encoding="utf-8"))) if options.record.exists() else {}
    for name in SECTIONS:
        if options.only is None or name in options.only:
            about = {"seeds": list(bench.seeds), "requests": options.requests, "machine": machine.describe()}
            results[name] = getattr(bench, name)() | about
            options.record.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    console = Console(width=WIDTH)
    if "orders" in results:
        console.print(orders_table(results["orders"]["rows"]))
    for table in other_tables(results):
        console.print(table)
    line = " ".join(f"{key}={value:g}" for key, value in summary(results).items())
    console.print("ratios", line, soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
