"""The report's page and its curves."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import replace

from appliance.bench.objective import Figure
from appliance.bench.report.curves import highest_rate_kept, latency_chart, what_holds
from appliance.bench.report.page import page
from appliance.bench.result import Result
from appliance.bench.trees import tree_figures, tree_of
from tests.bench.made import record
from tests.bench.test_result import result
from tests.fakes.traces import repaired_trace


def test_the_page_is_whole_and_loads_nothing() -> None:
    trees = {"hard": tree_figures([tree_of(repaired_trace("t"))]).as_document()}
    written = page(result(trees=trees), result())
    assert written.count("<h1>small</h1>") == 2
    assert "some &lt;processor&gt;" in written
    assert "steady@20" in written
    assert "verifier" in written
    assert "it was not checked" in written
    assert not re.search(r"(?:src|href)=|url\(|https?://(?!127\.0\.0\.1|www\.w3\.org/2000/svg)", written)


def test_latency_against_rate_with_the_objective() -> None:
    chart = latency_chart(result(), Figure("e2e", "p95"))
    ElementTree.fromstring(chart)
    for text in ("all", "easy", "hard", "objective: e2e_p95_s ≤ 0.5", "requests offered per second"):
        assert text in chart


def test_one_rate_is_no_curve() -> None:
    one = result()
    header = replace(one.header, phases=one.header.phases[:2])
    assert latency_chart(replace(one, header=header), Figure("e2e", "p95")) == ""


def test_the_highest_rate_that_keeps_everything() -> None:
    all_good = _with({"": {"e2e_p95_s": 0.5}})
    sweep = all_good.records
    assert highest_rate_kept(all_good) == 20.0
    late = tuple(r if r.phase != "steady@20" else record(r.index, phase=r.phase, ended_s=99.0) for r in sweep)
    assert highest_rate_kept(replace(all_good, records=late)) == 10.0
    failed = tuple(replace(r, error="lost") if r.index == 10 else r for r in sweep)
    assert highest_rate_kept(replace(all_good, records=failed)) is None


def test_a_rate_at_which_one_kind_misses_its_own_objective_is_too_high() -> None:
    good = _with({"": {"e2e_p95_s": 99.0}, "easy": {"e2e_p95_s": 0.5}})
    assert highest_rate_kept(good) == 20.0
    late = tuple(
        replace(r, ended_s=r.due_s + 9.0) if (r.phase, r.kind) == ("steady@20", "easy") else r for r in good.records
    )
    assert highest_rate_kept(replace(good, records=late)) == 10.0
    holds = what_holds(replace(good, records=late))
    assert holds.startswith("all objectives are kept up to 10 requests a second; ")
    assert holds.endswith("then, 20 a second: easy: e2e_p95_s 9.000 s, objective 0.5 s")


def test_what_holds_in_a_sentence() -> None:
    assert highest_rate_kept(result()) is None  # its hard ones are too late at every rate
    assert what_holds(result()) == "at the lowest rate, 10 a second: hard: e2e_p95_s 0.310 s, objective 0.2 s"
    whole = what_holds(_with({"": {"e2e_p95_s": 0.5}}))
    assert whole == "all objectives are kept up to 20 requests a second, the highest rate of the sweep"
    assert what_holds(_with({})) == ""


def _with(objectives: Mapping[str, Mapping[str, float]]) -> Result:
    made = result()
    return replace(made, header=replace(made.header, objectives=objectives))
