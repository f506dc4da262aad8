"""The short list, why others are not on it, refusals that say what would do, and the forms that it is told in."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from functools import cache
from io import StringIO

import pytest
from rich.console import Console

from appliance.capacity.advice import Advice, advise
from appliance.capacity.advice_document import as_document
from appliance.capacity.hardware import load_hardware
from appliance.capacity.quality import Quality
from appliance.capacity.report.page import page
from appliance.capacity.team import Team
from appliance.cli.advice_view import advice_view
from appliance.errors import ConfigError
from appliance.evaluation.paired import Interval
from tests.capacity.pools import alone, pair, question

KINDS = load_hardware()


def worth(team: Team, score: float) -> Team:
    return replace(team, quality=Quality(Interval(score, score - 0.05, score + 0.05), "measured by a test", {}))


@cache
def advice() -> Advice:
    teams = [worth(alone(), 0.6), worth(pair(), 0.8)]
    asked = question("p95<30s", users=600, requests=50)
    return advise(teams, [KINDS["l4"], KINDS["l40s"]], asked)


def test_the_cheapest_comes_first_and_what_costs_more_gives_more() -> None:
    options = advice().options
    assert 2 <= len(options) <= 5
    prices = [option.layout.price_per_hour for option in options]
    assert prices == sorted(prices)
    assert {option.layout.team.name for option in options} == {alone().name, pair().name}


def test_every_option_says_what_one_must_know() -> None:
    for option in advice().options:
        band = option.latency["p95"]
        assert band.low < band.expected < band.high
        assert option.highest_per_s >= advice().question.load.rate_per_s
        assert option.missed_per_s is None or option.missed_per_s > option.highest_per_s
        assert option.expense.energy_wh.low < option.expense.energy_wh.high
        assert "busy" in option.bottleneck
        assert option.loss.words
        assert len(option.curve) == 5


def test_the_typical_request_is_a_hard_one_in_order() -> None:
    typical = advice().typical
    first = advice().options[0].layout.team
    assert typical.traffic == first.hard
    assert typical.bars[0].asked_s == pytest.approx(0, abs=1e-9)
    assert all(bar.asked_s <= bar.sent_s < bar.ended_s for bar in typical.bars)


def test_longer_requests_are_slower() -> None:
    lengths = advice().sensitivity[-1]
    assert lengths.low_s < lengths.high_s


def test_the_document_is_json_and_has_sources() -> None:
    document = json.loads(json.dumps(as_document(advice()), allow_nan=False))
    first = document["options"][0]
    assert first["latency_s"]["p95"]["low"] < first["latency_s"]["p95"]["high"]
    assert first["engine_figures"][0]["source"] == "unmeasured"
    assert first["price_per_1000_requests"]["source"]
    assert document["objectives"] == ["p95<30s"]
    assert any("requests per hour" in line for line in document["sources"])


def test_the_page_has_every_plot_and_loads_nothing() -> None:
    text = page(advice())
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    labels = [ElementTree.fromstring(drawing).attrib["aria-label"] for drawing in drawings]
    assert labels[0].startswith("p95 in seconds against requests per second")
    assert labels.count("what lies on each GPU") == len(advice().options)
    assert {"the calls of a request over time", "what a wrong assumption moves"} <= set(labels)
    bare = text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|<script|<link|@import|url\(", bare)
    for line in advice().sources:
        assert line.split(":")[0] in text


def test_the_terminal_says_the_same() -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(advice_view(advice()))
    text = console.export_text()
    assert "600 users × 6 requests per hour" in text
    assert "not measured" not in text
    assert "60.0% (55.0% – 65.0%)" in text
    assert "without its fullest node" in text


def test_a_floor_leaves_out_what_is_worse_and_what_nobody_measured() -> None:
    teams = [worth(alone(), 0.6), worth(pair(), 0.8), replace(alone(), name="a third", quality_missing="not asked")]
    found = advise(teams, [KINDS["l40s"]], question("p95<30s", users=60, requests=30), quality_floor=0.7)
    assert {option.layout.team.name for option in found.options} == {pair().name}
    reasons = {one.team: one.reason for one in found.left_out}
    assert "its quality is 0.6 (0.55 to 0.65), below the floor of 0.7" in reasons[alone().name]
    assert reasons["a third"] == "not asked"


def test_an_objective_that_nobody_meets_comes_with_one_that_could_be() -> None:
    with pytest.raises(ConfigError) as caught:
        advise([alone()], [KINDS["l4"], KINDS["l40s"]], question("p95<100ms", requests=30))
    said = str(caught.value)
    assert said.startswith("--slo p95<0.1s can't be met by any candidate; the nearest is qwen3-4b alone on l40s")
    assert "over the limit of 0.1 s" in said
    (limit,) = re.findall(r"--slo p95<([0-9.]+)s could be met", said)
    advised = advise([alone()], [KINDS["l40s"]], question(f"p95<{limit}s", users=1, requests=30))
    assert advised.options


def test_an_objective_that_takes_too_many_gpus() -> None:
    with pytest.raises(ConfigError, match=r"would hold it, but with more than 1 GPUs; raise --max-gpus"):
        advise([alone()], [KINDS["l4"]], question("p95<12s", users=100_000, requests=500, most_gpus=1))


def test_nobody_is_good_enough() -> None:
    with pytest.raises(ConfigError, match=r"no candidate is good enough: qwen3-4b alone: its quality is 0.6"):
        advise([worth(alone(), 0.6)], [KINDS["l4"]], question(), quality_floor=0.9)
