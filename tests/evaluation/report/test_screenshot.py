"""The report as its readers see it: drawn by a real browser, complete, and calling nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from appliance.evaluation.comparison import compare
from appliance.evaluation.report.page import page
from appliance.evaluation.run_file import Header, Run
from appliance.evaluation.target import targets_of
from tests.evaluation.attempts import attempt
from tests.fakes.chromium import Opened

TEAM, SINGLE, VOTED = "#1f5f8b", "#c8553d", "#3a7d44"
"""Colours of the first three targets in the plot."""
NAMES = ("auto", "small", "self-consistency:small@4")


@pytest.fixture(scope="module")
def report(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A team that is right nine times of ten, a model that is right six times of ten, and its majority."""
    attempts = []
    for n in range(60):
        name, task_class = f"t{n}", "steps" if n % 2 else "words"
        attempts.append(attempt("auto", name, float(n % 10 > 0), 4.0, task_class=task_class))
        attempts.append(attempt("small", name, float(n % 10 > 3), 1.0, task_class=task_class))
        for sample in range(4):
            attempts.append(attempt(NAMES[2], name, float(n % 10 > 3), 1.5, sample=sample, task_class=task_class))
    chosen = targets_of(",".join(NAMES), virtual_model="auto", models=("small",))
    run = Run(Header("contracts", "d" * 64, NAMES, 1, 0, {"machine": "two cores"}), tuple(attempts))
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(page(run, compare(run.attempts, chosen, virtual_model="auto"), gpu_hour_price=3.6))
    opened = Opened(browser, file)
    yield opened
    opened.close()


def test_nothing_is_asked_of_anybody_and_nothing_goes_wrong(report: Opened) -> None:
    assert report.requests == [report.page.url]
    assert report.page.url.startswith("file://")
    assert report.complaints == []


def test_the_headings_and_numbers_stand_there(report: Opened) -> None:
    assert report.page.title() == "contracts: does orchestrating pay?"
    headings = report.page.locator("h1, h2").all_inner_texts()
    assert headings == [
        *("contracts", "Does orchestrating pay?", "Quality against cost", "all tasks", "words", "steps"),
        "Fan-out by role, per task",
    ]
    verdict = report.page.locator("table").first.locator("tr").nth(1).inner_text()
    assert "orchestrate" in verdict
    assert "+30.0 points" in verdict
    everything = report.page.locator("h2:text-is('all tasks') + .scroll table")
    rows = {
        row[0]: row[1:] for row in (tr.locator("td").all_inner_texts() for tr in everything.locator("tr").all()[1:])
    }
    assert rows["auto"][0] == "90.0%"
    assert rows["small"][0] == "60.0%"
    assert rows["auto"][2:4] == ["4", "0.004"]
    assert rows["small@=auto"][2] == "4.5"


def test_the_plot_is_painted(report: Opened) -> None:
    plot = report.page.locator("svg")
    labels = plot.locator("text.name").all_text_contents()
    assert set(NAMES) <= set(labels)
    colours = report.colours(plot)
    painted = sum(count for colour, count in colours.items() if colour != "#ffffff")
    assert 0.01 < painted / colours.total() < 0.5
    # A square of 10 × 10 and circles of 10 across, each in its target's colour.
    assert colours[TEAM] >= 80
    assert colours[SINGLE] >= 60
    assert colours[VOTED] >= 60


def test_the_whole_page_is_painted_and_fits_its_width(report: Opened) -> None:
    colours = report.colours()
    assert {"#dceee0", "#1c2430"} <= set(colours), "the verdict's ground and the ink of the text"
    assert report.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    overlapping = report.page.evaluate(
        """() => {
            const boxes = [...document.querySelectorAll('svg text.name')].map(t => t.getBoundingClientRect());
            return boxes.some((a, i) => boxes.slice(i + 1).some(b =>
                a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom));
        }"""
    )
    assert not overlapping
