"""The placement solver against an exhaustive search, on a large fleet, and through random events.

`python benchmarks/placement.py [--only optimality|large|events] [--sequences N] [--jobs N] [--record FILE]`. Sections
that are not run keep their last recorded figures. The last lines are for scripts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from appliance.placement.packing import holds  # noqa: E402
from appliance.placement.packing_search import pack  # noqa: E402
from appliance.placement.prepared import prepare  # noqa: E402
from benchmarks import machine  # noqa: E402
from benchmarks.placement_cases import Exhaustive, random_packing  # noqa: E402
from benchmarks.placement_events import large_problem, play  # noqa: E402

DEFAULT_RECORD = ROOT / "benchmarks" / "results" / "placement.json"
INSTANCES, SEQUENCES, LARGE = 500, 10_000, 24
EXHAUSTIVE_NODES = 200_000


def optimality_of(seed: int) -> dict[str, Any]:
    """One random instance, solved twice."""
    dice = random.Random(seed)
    models, devices = dice.randint(1, 6), dice.randint(1, 4)
    packing = random_packing(seed, models, devices)
    started = time.perf_counter()
    best = Exhaustive(packing, limit=EXHAUSTIVE_NODES).solve()
    between, busy = time.perf_counter(), time.process_time()
    packed = pack(packing)
    done, busy = time.perf_counter(), time.process_time() - busy
    rate = 0.0 if packed is None or packed.rate is None else packed.rate
    return {
        "seed": seed,
        "models": models,
        "devices": devices,
        "best": best,
        "rate": rate,
        "fits": packed is None or holds(packing, packed.puts),
        "gap": None if best is None else (1 - rate / best if best else float(packed is not None)),
        "proven_gap": None if packed is None else packed.gap,
        "exhaustive_s": between - started,
        "solver_s": done - between,
        "solver_cpu_s": busy,
    }


def optimality(jobs: int) -> dict[str, Any]:
    """500 random instances up to 6 models × 4 GPUs."""
    rows = _all(optimality_of, range(INSTANCES), jobs)
    judged = [row for row in rows if row["gap"] is not None]
    gaps = [max(0.0, row["gap"]) for row in judged]
    return {
        "instances": len(rows),
        "judged": len(judged),
        "placeable": sum(bool(row["best"]) for row in judged),
        "within_2_percent": sum(gap <= 0.02 for gap in gaps),
        "worst_gap": max(gaps),
        "mean_gap": mean(gaps),
        "overfull": sum(not row["fits"] for row in rows),
        "solver_mean_s": mean(row["solver_s"] for row in rows),
        "solver_max_s": max(row["solver_s"] for row in rows),
        "solver_mean_cpu_s": mean(row["solver_cpu_s"] for row in rows),
        "solver_max_cpu_s": max(row["solver_cpu_s"] for row in rows),
        "slowest": max(rows, key=lambda row: row["solver_cpu_s"]),
        "exhaustive_max_s": max(row["exhaustive_s"] for row in rows),
        "beyond_2_percent": [row for row in judged if row["gap"] > 0.02],
        "not_judged": [row for row in rows if row["gap"] is None],
    }


def large(jobs: int) -> dict[str, Any]:
    """64 H100 in nodes of eight, 20 models of the catalog with random demand; one after the other, on one core."""
    rows: list[dict[str, Any]] = []
    for seed in range(LARGE):
        problem = large_problem(seed)
        started, busy = time.perf_counter(), time.process_time()
        packing = prepare(problem).packing
        packed = pack(packing)
        row = {"seed": seed, "seconds": time.perf_counter() - started, "cpu_s": time.process_time() - busy}
        if packed is None:
            rows.append(row | {"gap": 1.0, "rate": None, "fits": True})
            continue
        fits = holds(packing, packed.puts)
        rows.append(row | {"gap": packed.gap, "rate": packed.rate, "fits": fits})
    return {
        "devices": 64,
        "models": 20,
        "instances": rows,
        "within_5_percent": sum(row["gap"] <= 0.05 for row in rows),
        "under_5_s": sum(row["seconds"] < 5 for row in rows),
        "under_5_cpu_s": sum(row["cpu_s"] < 5 for row in rows),
        "worst_gap": max(row["gap"] for row in rows),
        "slowest_s": max(row["seconds"] for row in rows),
    }


def events(jobs: int, sequences: int = SEQUENCES) -> dict[str, Any]:
    """10,000 sequences of GPUs lost, models added, demand moved; every plan checked against every GPU's memory."""
    started = time.perf_counter()
    counts = _all(play, range(sequences), jobs)
    sums = {key: sum(count[key] for count in counts) for key in counts[0]}
    return {"sequences": len(counts)} | sums | {"seconds": time.perf_counter() - started}


SECTIONS: dict[str, Callable[[int], dict[str, Any]]] = {"optimality": optimality, "large": large, "events": events}
"""Each takes the number of processes."""


def _recorded(path: Path) -> dict[str, Any]:
    """Read anew before each writing: sections may run at the same time."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _all(function: Callable[[int], dict[str, Any]], seeds: Iterable[int], jobs: int) -> list[dict[str, Any]]:
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(function, seeds, chunksize=4))


def table_of(results: dict[str, Any]) -> Table:
    """Aims beside figures."""
    table = Table(title="Placement solver", title_justify="left")
    for heading in ("what", "aim", "figure"):
        table.add_column(heading)
    if found := results.get("optimality"):
        of = f"{found['within_2_percent']} of {found['judged']}"
        table.add_row("≤ 6 models × 4 GPUs: within 2% of the exhaustive search", "500 of 500", of)
        table.add_row("  worst gap / mean gap", "", f"{found['worst_gap']:.2%} / {found['mean_gap']:.3%}")
        table.add_row("  solver: mean / slowest", "", f"{found['solver_mean_s']:.2f} s / {found['solver_max_s']:.2f} s")
        cpu = f"{found['solver_mean_cpu_s']:.2f} s / {found['solver_max_cpu_s']:.2f} s"
        table.add_row("  the same in processor seconds", "", cpu)
    if found := results.get("large"):
        count = len(found["instances"])
        reached = f"{found['within_5_percent']} of {count}"
        table.add_row("64 GPUs × 20 models: proven gap ≤ 5%", f"{count} of {count}", reached)
        table.add_row("  gaps", "≤ 5%", ", ".join(f"{row['gap']:.1%}" for row in found["instances"]))
        table.add_row("  under 5 s", f"{count} of {count}", str(found["under_5_s"]))
        table.add_row("  seconds", "< 5", ", ".join(f"{row['seconds']:.1f}" for row in found["instances"]))
        table.add_row("  processor seconds", "", ", ".join(f"{row['cpu_s']:.1f}" for row in found["instances"]))
    if found := results.get("events"):
        table.add_row("sequences of random events", f"{SEQUENCES}", str(found["sequences"]))
        table.add_row("  plans / refusals", "", f"{found['plans']} / {found['refusals']}")
        table.add_row("  GPUs above their declared memory", "0", str(found["overfull"]))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sections, print the table, record it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(SECTIONS), action="append")
    parser.add_argument("--sequences", type=int, default=SEQUENCES, help="of events")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--record", type=Path, default=DEFAULT_RECORD)
    options = parser.parse_args(arguments)
    for name, section in SECTIONS.items():
        if options.only is None or name in options.only:
            figures = events(options.jobs, options.sequences) if name == "events" else section(options.jobs)
            results = _recorded(options.record)
            results[name] = figures | {"jobs": options.jobs, "machine": machine.describe()}
            options.record.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    results = _recorded(options.record)
    console = Console()
    console.print(table_of(results))
    for name in SECTIONS:
        figures = {key: value for key, value in results.get(name, {}).items() if isinstance(value, int | float)}
        console.print(
            name, " ".join(f"{key}={value:g}" for key, value in figures.items()), soft_wrap=True, highlight=False
        )


if __name__ == "__main__":
    main()
