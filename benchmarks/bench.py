"""`make bench`: the starter pool under direct, orchestrated and mixed traffic, in a sweep of rates.

Prints the tables, writes the figures to `results/bench.json`, every request below `var/bench/`, and one report with the
curves of latency against rate.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402

from appliance.bench.objective import Figure  # noqa: E402
from appliance.bench.report.curves import highest_rate_kept, latency_chart, what_holds  # noqa: E402
from appliance.bench.report.page import page  # noqa: E402
from appliance.bench.result import Result, read_result  # noqa: E402
from appliance.bench.self_check import kept  # noqa: E402
from appliance.cli.bench import check_file  # noqa: E402
from appliance.cli.bench import run as bench_run  # noqa: E402
from appliance.plots.style import standing_alone  # noqa: E402
from benchmarks.starter.appliance_process import running_appliance  # noqa: E402

SCENARIOS: Final = ("starter-direct", "starter-orchestrated", "starter-mixed")
RECORD: Final = ROOT / "benchmarks" / "results" / "bench.json"
PLACE: Final = ROOT / "var" / "bench" / "suite"
REPORT: Final = PLACE / "report.html"
PICTURE: Final = ROOT / "docs" / "images" / "bench.svg"


def main() -> None:
    """Start the pool, send the loads, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "starter.yaml")
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--picture", type=Path, default=None, help=f"also draw the mixed load, such as {PICTURE}")
    said = parser.parse_args()
    unchecked = bool(kept(check_file(1), 1).problem)
    if unchecked:
        Console().print("[yellow]the generator can't be trusted on a machine this busy; the results say so[/]")
    with running_appliance(said.config):
        for name in SCENARIOS:
            scenario = ROOT / "benchmarks" / "scenarios" / f"{name}.yaml"
            bench_run(scenario, out=PLACE / name, unchecked=unchecked, config=said.config)
    write([read_result(PLACE / name) for name in SCENARIOS], said.record, said.picture)


def write(results: list[Result], record: Path, picture: Path | None) -> None:
    """The report, the figures, and the picture where it is wanted."""
    REPORT.write_text(page(*results), encoding="utf-8")
    record.write_text(json.dumps(document(results), indent=1) + "\n", encoding="utf-8")
    if picture is not None:
        picture.write_text(standing_alone(latency_chart(results[-1], Figure("e2e", "p95"))) + "\n", encoding="utf-8")
    console = Console()
    for result in results:
        console.print(f"{result.header.scenario}: {what_holds(result)}")
    console.print(f"report in {REPORT}, figures in {record}")


def document(results: list[Result]) -> dict[str, Any]:
    """What is kept in the repository: everything but the single requests."""
    found = [{**result.as_document(), "highest_rate_kept_per_s": highest_rate_kept(result)} for result in results]
    for one in found:
        del one["records"]
    return {"command": "make bench", "machine": found[0].pop("machine"), "results": found}


if __name__ == "__main__":
    main()
