"""The accuracy figures that the README promises, and clear words about bad case files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import memory_accuracy
from benchmarks.kv_cases import DEFAULT_CASES, load_cases
from benchmarks.memory_accuracy import Row, foretell_all, summary
from benchmarks.memory_fit import by_model, by_publisher, cross_validated, fit, observations

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return foretell_all(load_cases(DEFAULT_CASES), by_model)


@pytest.fixture(scope="module")
def figures(rows: list[Row]) -> dict[str, float | int]:
    return summary(rows)


def test_left_out_models_are_foretold_within_5_percent_at_the_median(figures: dict[str, float | int]) -> None:
    assert figures["median_kv_error"] < 0.05
    assert figures["median_kv_error_complete"] < 0.05
    assert figures["cases"] >= 25


def test_no_start_that_failed_was_promised(figures: dict[str, float | int]) -> None:
    assert figures["false_fits"] == 0
    assert figures["started_and_promised"] >= 0.9 * figures["started"]


def test_only_the_start_with_unknown_batching_got_fewer_tokens_than_promised(rows: list[Row]) -> None:
    assert [row.case_id for row in rows if row.broken_promise] == ["llama3-8b-a100_40"]


def test_weights_are_within_one_percent(figures: dict[str, float | int]) -> None:
    assert figures["median_weights_error"] < 0.005
    assert figures["weights_within_1_percent"] >= 0.85 * figures["weights_cases"]


def test_a_left_out_publisher_is_foretold_within_10_percent_and_never_falsely_promised() -> None:
    strict = summary(foretell_all(load_cases(DEFAULT_CASES), by_publisher))
    assert strict["median_kv_error"] < 0.10
    assert strict["false_fits"] == 0


def test_the_model_beats_the_common_rule(figures: dict[str, float | int]) -> None:
    assert figures["median_kv_error"] < figures["rule_median_kv_error"] / 3


def test_a_fit_never_sees_the_model_that_it_is_judged_on() -> None:
    seen = observations(load_cases(DEFAULT_CASES)[:20])
    pairs = cross_validated(seen, by_model)
    chosen = next(item for item in seen if item.case.case_id == "qwen3-next-80b-h200-tp2")
    alone = fit([item for item in seen if by_model(item.case) != by_model(chosen.case)])
    assert next(constants for item, constants in pairs if item is chosen) == alone
    assert len({by_publisher(item.case) for item in seen}) > 8


def test_the_last_line_is_for_scripts() -> None:
    command = [sys.executable, "benchmarks/memory_accuracy.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    last = done.stdout.strip().splitlines()[-1]
    assert last.split("=")[0] == "median_kv_error"
    keys = [part.split("=")[0] for part in last.split()]
    assert keys == ["median_kv_error", "max_kv_error", "false_fits", "cases"]


def test_a_file_of_ones_own_is_foretold_with_the_shipped_constants(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = yaml.safe_load(DEFAULT_CASES.read_text(encoding="utf-8"))
    own, record = tmp_path / "own.yaml", tmp_path / "record.json"
    own.write_text(yaml.safe_dump({"cases": document["cases"][:6]}), encoding="utf-8")
    assert memory_accuracy.main(["--cases", str(own), "--record", str(record)]) == 0
    assert "fitted to 6 of these 6 cases" in capsys.readouterr().out
    assert "machine" in record.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cases: []", "at least one case"),
        ("models: {}", "top-level key `cases`"),
        ("cases: [1]", "case 1 must be a mapping"),
        ("cases: [{id: x, geometry: g, model: m}]", "gpu must be a mapping"),
        ("cases: [{id: x, gpu: {total_gib: much}, parallel: {}, measured: {}, geometry: g, model: m}]", "total_gib"),
        ("cases: [{id: x, gpu: {}, parallel: {tp: 0}, measured: {}, geometry: g, model: m}]", "`tp`"),
        ("cases: [{id: x, gpu: {}, parallel: {}, measured: {}, model: m}]", "`geometry` is missing"),
        (
            "cases: [{id: x, gpu: {}, parallel: {}, measured: {}, geometry: g, model: m, gpu_memory_utilization: 2}]",
            "gpu_memory_utilization",
        ),
        (
            "cases: [{id: x, gpu: {}, parallel: {}, measured: {}, geometry: g, model: m, enforce_eager: maybe}]",
            "enforce_eager",
        ),
        ("cases: [{id: x, gpu: {}, parallel: {}, measured: {}, geometry: g, model: m, flags: odd}]", "flags"),
        ("cases: {", "can't be read as YAML"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_key(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(text, encoding="utf-8")
    assert memory_accuracy.main(["--cases", str(bad)]) == 2
    error = capsys.readouterr().err
    assert str(bad) in error
    assert complaint in error


def test_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert memory_accuracy.main(["--cases", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_a_case_without_geometry_is_shown_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = tmp_path / "one.yaml"
    one.write_text("cases: [{id: x, gpu: {}, parallel: {}, measured: {}, geometry: unheard/of, model: m}]")
    assert memory_accuracy.main(["--cases", str(one)]) == 0
    out = capsys.readouterr().out
    assert "no geometry for unheard/of" in out
    assert out.strip().splitlines()[-1] == "median_kv_error=nan max_kv_error=nan false_fits=0 cases=0"
