"""Objectives as they are written, and what can't be read."""

from __future__ import annotations

import pytest

from appliance.capacity.slo import Metric, Objective, parse_slo
from appliance.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p95<12s", [Objective(Metric.E2E, 95, 12)]),
        ("ttft_p95<800ms", [Objective(Metric.TTFT, 95, 0.8)]),
        ("p99<20s, ttft_p50<1s", [Objective(Metric.E2E, 99, 20), Objective(Metric.TTFT, 50, 1)]),
        ("e2e_p99.9 <= 1.5min", [Objective(Metric.E2E, 99.9, 90)]),
        ("MEAN<.5s", [Objective(Metric.E2E, None, 0.5)]),
    ],
)
def test_what_can_be_written(text: str, expected: list[Objective]) -> None:
    assert list(parse_slo(text)) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "says nothing"),
        ("fast", "'fast' is no objective"),
        ("p95>12s", "no objective"),
        ("p95<12", "needs a unit"),
        ("p95<12h", "needs a unit"),
        ("p0<1s", "between 0 and 100"),
        ("p100<1s", "between 0 and 100"),
        ("p95<0s", "more than 0"),
        ("p95<-3s", "no objective"),
        ("tpot_p95<1s", "no metric tpot; name one of e2e, ttft"),
        ("p95<1s,e2e_p95<2s", "p95 stands twice"),
    ],
)
def test_what_cannot(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--slo") as caught:
        parse_slo(text)
    assert said in str(caught.value)


def test_it_reads_as_it_was_written() -> None:
    assert [str(o) for o in parse_slo("p95<12s,ttft_p50<800ms,mean<2s")] == ["p95<12s", "ttft_p50<0.8s", "mean<2s"]


def test_statistics_of_latencies() -> None:
    values = [4.0, 1.0, 3.0, 2.0, 5.0]
    assert Objective(Metric.E2E, 50, 1).of(values) == 3
    assert Objective(Metric.E2E, 95, 1).of(values) == pytest.approx(4.8)
    assert Objective(Metric.E2E, None, 1).of(values) == 3
    assert Objective(Metric.E2E, 95, 1).of([]) == float("inf")
