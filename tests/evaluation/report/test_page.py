"""The report's page: what it says, and that it loads nothing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from appliance.evaluation.comparison import compare
from appliance.evaluation.report.page import page
from appliance.evaluation.report.plot import Point, frontier, quality_against_cost
from appliance.evaluation.run_file import Header, Run
from appliance.evaluation.target import targets_of
from tests.evaluation.attempts import attempt


def made(name: str = "small", price: float | None = None) -> str:
    chosen = targets_of("auto,small", virtual_model="auto", models=("small",))
    attempts = [attempt("auto", n, 1.0, 4.0) for n in range(30)] + [attempt("small", n, 0.0) for n in range(30)]
    header = Header(f"<b>{name}</b>", "d" * 64, ("auto", "small"), 1, 0, {"machine": "two <cores>"})
    compared = compare(attempts, chosen, virtual_model="auto")
    return page(Run(header, tuple(attempts)), compared, gpu_hour_price=price)


def test_it_says_what_the_comparison_says() -> None:
    text = made()
    assert "orchestrate" in text
    assert "+100.0 points" in text
    assert "4× the GPU-seconds of small" in text
    assert "executor: calls" in text
    assert "money" not in text
    assert "<th>money</th>" in made(price=3.6)


def test_names_are_text_and_never_markup() -> None:
    assert "<b>small</b>" not in made()
    assert "&lt;b&gt;small&lt;/b&gt;" in made()
    assert "two &lt;cores&gt;" in made()


def test_nothing_is_loaded_from_anywhere() -> None:
    text = made().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)


def test_the_plot_is_well_formed_and_holds_every_target() -> None:
    points = [Point(f"m<{n}", n / 10, 0.5 + n / 20, 0.4 + n / 20, 0.6 + n / 25, n % 2 == 0) for n in range(6)]
    drawn = quality_against_cost(points)
    tree = ElementTree.fromstring(drawn)
    names = [e.text for e in tree.iter("{http://www.w3.org/2000/svg}text") if e.get("class") == "name"]
    assert sorted(filter(None, names)) == sorted(point.name for point in points)
    assert quality_against_cost([]) == ""
    assert "<svg" in quality_against_cost([Point("free", 0.0, 1.0, 1.0, 1.0, False)])


def test_the_frontier_leaves_out_whoever_is_beaten() -> None:
    cheap, good, beaten = (Point(n, x, y, y, y, False) for n, x, y in (("c", 1, 0.5), ("g", 2, 0.9), ("b", 3, 0.8)))
    assert frontier([cheap, good, beaten]) == {"c", "g"}
