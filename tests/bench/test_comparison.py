"""Ratios and gates."""

from __future__ import annotations

import pytest

from appliance.bench.comparison import gate_of, judged, ratios
from appliance.bench.objective import objectives
from appliance.bench.records import RequestRecord
from tests.bench.made import record


def run(factor: float) -> list[RequestRecord]:
    return [record(n, ended_s=n * 0.1 + factor * (0.3 + 0.01 * (n * 7 % 11))) for n in range(200)]


def test_a_slower_run_fails_the_gate_and_the_same_one_passes_it() -> None:
    gates = [gate_of("e2e_p95_s<=1.05"), gate_of("request_throughput_per_s >= 0.9")]
    slower = judged(gates, ratios(run(1.0), run(1.3)))
    assert [one.passed for one in slower] == [False, True]
    assert slower[0].certain
    assert slower[0].ratio is not None
    assert slower[0].ratio.value == pytest.approx(1.3, rel=0.01)
    assert slower[0].ratio.low is not None
    assert slower[0].ratio.high is not None
    assert slower[0].ratio.low <= 1.3 <= slower[0].ratio.high
    same = judged(gates, ratios(run(1.0), run(1.0)))
    assert [one.passed for one in same] == [True, True]


def test_the_same_seed_gives_the_same_intervals() -> None:
    assert ratios(run(1.0), run(1.1), seed=3) == ratios(run(1.0), run(1.1), seed=3)


def test_goodput_has_an_interval_and_the_other_rates_have_none() -> None:
    found = {r.name: r for r in ratios(run(1.0), run(1.2), objectives=objectives({"e2e_p95_s": 0.4}))}
    goodput, throughput = found["goodput_per_s"], found["request_throughput_per_s"]
    assert goodput.low is not None
    assert goodput.high is not None
    assert goodput.low <= goodput.value <= goodput.high < 1
    assert throughput.low is None


def test_a_figure_that_a_run_lacks_passes_no_gate() -> None:
    (found,) = judged([gate_of("first_role_event_p95_s<=2")], ratios(run(1.0), run(1.0)))
    assert not found.passed
    assert found.ratio is None


@pytest.mark.parametrize("text", ["e2e_p95_s", "e2e_p95_s<1.05", "e2e_p95_s<=fast", "speed_p95_s<=1"])
def test_what_is_no_gate(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no gate|is no figure"):
        gate_of(text)
