"""Lines, bands and marks: well formed, within the plot, and nothing of a name is markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from math import inf

import pytest

from appliance.plots.axis import Axis
from appliance.plots.frame import plain
from appliance.plots.lines import Line, Mark, Spot, line_chart
from appliance.plots.style import standing_alone, style

SVG = "{http://www.w3.org/2000/svg}"


def steep(name: str, *, measured: bool = True) -> Line:
    return Line(name, tuple(Spot(n, n**2, n**2 * 0.8, n**2 * 1.3) for n in range(1, 6)), measured)


def test_every_line_is_named_and_dashed_where_nobody_measured_it() -> None:
    tree = ElementTree.fromstring(
        line_chart(
            [steep("a<b"), steep("paper", measured=False)],
            "requests/s",
            "p95",
            limit=Mark("p95<12s", 12),
            here=Mark("today", 2),
        )
    )
    names = [e.text for e in tree.iter(f"{SVG}text") if e.get("class") == "name"]
    assert names == ["p95<12s", "today", "a<b", "paper"]
    dashes = [line.get("stroke-dasharray") for line in tree.iter(f"{SVG}polyline")]
    assert dashes == [None, "6 4"]
    assert len(list(tree.iter(f"{SVG}circle"))) == 10


def test_what_is_above_the_top_is_cut_off_there() -> None:
    wild = Line("wild", (Spot(1, 5, 4, 6), Spot(2, 500, 400, inf)))
    tree = ElementTree.fromstring(line_chart([wild], "x", "y", top=20))
    ys = [float(pair.split(",")[1]) for e in tree.iter(f"{SVG}polygon") for pair in e.attrib["points"].split()]
    assert min(ys) >= 16
    assert len(list(tree.iter(f"{SVG}circle"))) == 1


def test_nothing_to_draw() -> None:
    assert line_chart([], "x", "y") == ""
    assert "<svg" in line_chart([Line("flat", (Spot(0, 0, 0, 0),))], "x", "y")


@pytest.mark.parametrize(("least", "most"), [(0, 1), (0, 0.0031), (3, 1234), (0.7, 1.0)])
def test_ticks_are_few_round_and_inside(least: float, most: float) -> None:
    ticks = Axis(least, most, 0, 100).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(least - 1e-9 <= tick <= most * (1 + 1e-6) for tick in ticks)


def test_a_picture_by_itself_has_the_style_and_loads_nothing() -> None:
    alone = standing_alone(line_chart([steep("a")], "x", "y"))
    assert style() in ElementTree.fromstring(alone)[0].text  # type: ignore[operator]  # a style element has a text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", alone)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0609, "0.0609"), (12.34, "12.3"), (999.6, "1,000"), (1034.0, "1,030"), (1.41e6, "1,410,000"), (inf, "∞")],
)
def test_a_number_is_said_in_three_digits_without_an_exponent(value: float, said: str) -> None:
    assert plain(value) == said
