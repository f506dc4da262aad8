"""The recorded report of `make eval`, as its readers see it: complete, calling nobody, with the recorded figures."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Browser

from tests.fakes.chromium import Opened

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def test_the_report_shows_what_was_recorded(browser: Browser) -> None:
    recorded = json.loads((RESULTS / "starter-eval.json").read_text())
    opened = Opened(browser, RESULTS / "starter-eval.html")
    try:
        assert opened.requests == [opened.page.url]
        assert opened.complaints == []
        table = opened.page.locator("h2:text-is('all tasks') + .scroll table")
        shown = {
            row[0]: row[1:] for row in (tr.locator("td").all_inner_texts() for tr in table.locator("tr").all()[1:])
        }
        rows = [row for row in recorded["comparison"]["rows"] if row["class"] == "all tasks"]
        assert {name.partition(" (")[0] for name in shown} == {row["target"] for row in rows}
        for name, (quality, _, gpu_s, *_) in shown.items():
            row = next(row for row in rows if row["target"] == name.partition(" (")[0])
            assert quality == f"{100 * row['quality']['mean']:.1f}%"
            assert float(gpu_s) == float(f"{row['gpu_seconds_per_task']:.3g}")
        colours = opened.colours(opened.page.locator("svg"))
        assert colours.total() - colours["#ffffff"] > 1_000
    finally:
        opened.close()


def test_what_was_promoted_passed_the_gate_and_its_figures_are_whole() -> None:
    recorded = json.loads((RESULTS / "starter-eval.json").read_text())
    assert recorded["promoted"] is (recorded["gate"]["answer"] == "promoted")
    for part in ("held_out", "live"):
        assert len(recorded[part]["figures"]) == 4
        for figure in recorded[part]["figures"]:
            assert set(figure) == {"what", "found", "wanted", "reached"}
    ways = recorded["held_out"]["ways"].values()
    assert recorded["held_out"]["ways"]["best strategy per task"]["reward"] == max(way["reward"] for way in ways)
