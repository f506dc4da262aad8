"""What `make bench` writes, and how the comparison with AIPerf reckons; nothing is measured here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import bench, oracle
from tests.bench.test_result import result


def test_figures_report_and_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "REPORT", tmp_path / "report.html")
    record, picture = tmp_path / "bench.json", tmp_path / "bench.svg"
    kept = replace(result(), header=replace(result().header, objectives={"": {"e2e_p95_s": 0.5}}))
    bench.write([kept, result()], record, picture)
    document = json.loads(record.read_text())
    assert document["machine"]["cores"] == 2
    assert [one["highest_rate_kept_per_s"] for one in document["results"]] == [20.0, None]
    assert document["results"][0]["figures"][0]["requests"] == 20
    assert "records" not in document["results"][0]
    assert (tmp_path / "report.html").read_text().count("<h1>small</h1>") == 2
    assert picture.read_text().startswith("<svg ")
    assert "<style>" in picture.read_text()


def test_scenarios_of_make_bench_are_there() -> None:
    for name in bench.SCENARIOS:
        assert (bench.ROOT / "benchmarks" / "scenarios" / f"{name}.yaml").is_file()


def test_means_and_spreads_of_two_tools() -> None:
    row = oracle._row([1.0, 1.04], [1.0, 1.0])
    assert row["ratio"] == pytest.approx(1.02)
    assert row["within_3_percent"]
    assert row["spread_ours"] == pytest.approx(0.04)
    assert not oracle._row([1.1, 1.1], [1.0, 1.0])["within_3_percent"]
    found = {"requests": 7, "metrics": dict.fromkeys(oracle.METRICS, row)}
    assert len(oracle.table_of("mock", found).rows) == len(oracle.METRICS)


def test_both_tools_send_as_much_in_any_window() -> None:
    dues_s = oracle.jittered(1.25, 80, seed=1)
    assert len(dues_s) == 100
    assert all(index / 1.25 <= due_s < (index + 1) / 1.25 for index, due_s in enumerate(dues_s))
    assert dues_s != oracle.jittered(1.25, 80, seed=2)
