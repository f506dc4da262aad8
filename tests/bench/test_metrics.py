"""Figures of records whose times are known."""

from __future__ import annotations

import pytest

from appliance.bench.metrics import figures, is_good, summary, values_of
from appliance.bench.objective import Figure, figure_of, objectives
from tests.bench.made import record


def test_figures_by_aiperf_s_definitions() -> None:
    records = [record(0), record(1), record(2, error="status 503: no room", completion_tokens=None, ended_s=0.9)]
    found = figures(records, objectives({"e2e_p95_s": 0.305, "ttft_p50_s": 0.2}))
    assert (found.requests, found.answered, found.failed) == (3, 2, 1)
    assert found.duration_s == pytest.approx(0.9)
    assert found.request_throughput_per_s == pytest.approx(2 / 0.9)
    assert found.output_token_throughput_per_s == pytest.approx(10 / 0.9)
    assert found.metrics["ttft"].mean == pytest.approx(0.1)
    assert found.metrics["itl"].mean == pytest.approx(0.2 / 4)
    assert found.metrics["icl"].count == 8
    assert found.metrics["e2e"].p99 == pytest.approx(0.31)
    assert found.metrics["lag"].count == 3
    assert found.good == 0
    assert [kept.kept for kept in found.objectives] == [False, True]
    assert found.errors == {"status 503: no room": 1}
    assert "first_role_event" not in found.metrics


def test_a_good_answer_keeps_every_objective_itself() -> None:
    bounds = objectives({"e2e_p95_s": 0.32, "first_role_event_p95_s": 0.01})
    assert is_good(record(0), bounds)
    assert not is_good(record(0, ended_s=0.33), bounds)
    assert not is_good(record(0, error="lost"), bounds)
    assert not is_good(record(0, orchestrated=True), bounds)


def test_no_requests_have_no_figures() -> None:
    found = figures([])
    assert (found.requests, found.request_throughput_per_s) == (0, 0.0)
    assert found.value(Figure("e2e", "p95")) is None
    assert found.as_document()["metrics"].keys() == {"lag"}


def test_percentiles_are_interpolated() -> None:
    found = summary(values_of("e2e", [record(0, ended_s=float(n)) for n in range(1, 101)]))
    assert (found.p50, found.p95, found.most) == pytest.approx((50.5, 95.05, 100.0))


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("e2e_p95_s", Figure("e2e", "p95")),
        ("tpot_mean_s", Figure("itl", "mean")),
        ("ttft_p99_s", Figure("ttft", "p99")),
    ],
)
def test_names_of_figures(name: str, figure: Figure) -> None:
    assert figure_of(name) == figure


@pytest.mark.parametrize("name", ["e2e_p95", "speed_p95_s", "e2e_p42_s", ""])
def test_what_is_no_figure(name: str) -> None:
    with pytest.raises(ValueError, match="is no figure; one is written"):
        figure_of(name)
