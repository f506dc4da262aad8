"""Results on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.bench.result import Header, Result, Span, read_result, write_result
from appliance.errors import ConfigError
from tests.bench.made import record


def result(**fields: object) -> Result:
    """Two kinds in a sweep of two rates, after a warm-up."""
    header = Header(
        scenario="small",
        digest="d" * 64,
        seed=1,
        run_id="bench-1",
        url="http://127.0.0.1:8000",
        began="2026-01-01T00:00:00+00:00",
        processes=1,
        machine={"processor": "some <processor>", "cores": 2, "appliance": "0.1.0", "revision": "abc"},
        phases=(
            Span("warm-up", 0.0, 1.0, False, 10.0),
            Span("steady@10", 1.0, 2.0, True, 10.0),
            Span("steady@20", 2.0, 3.0, True, 20.0),
        ),
        kinds=("easy", "hard"),
        objectives={"": {"e2e_p95_s": 0.5}, "hard": {"e2e_p95_s": 0.2}},
    )
    records = tuple(
        record(
            n,
            phase=("warm-up", "steady@10", "steady@20")[n // 10],
            kind=("easy", "hard")[n % 2],
            orchestrated=n % 2 == 1,
        )
        for n in range(30)
    )
    return Result(header, records, **fields)  # type: ignore[arg-type]  # what the test gives


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    written = result(trees={"hard": {"trees": 3}})
    file = write_result(tmp_path / "run", written)
    assert read_result(tmp_path / "run") == written == read_result(file)
    document = json.loads(file.read_text())
    assert document["machine"]["cores"] == 2
    assert [(row["phase"], row["kind"]) for row in document["figures"]][:4] == [
        ("", ""),
        ("", "easy"),
        ("", "hard"),
        ("warm-up", ""),
    ]


def test_warm_ups_do_not_count_and_kinds_have_their_own_objectives() -> None:
    rows = {(row.phase, row.kind): row.figures for row in result().rows()}
    assert rows["", ""].requests == 20
    assert rows["warm-up", ""].requests == 10
    assert rows["", "easy"].objectives[0].kept
    assert not rows["", "hard"].objectives[0].kept
    assert rows["", "hard"].good == 0


def test_what_was_broken_off_when_the_run_was_stopped_says_nothing_of_the_server() -> None:
    whole = result()
    records = tuple(replace(r, error="the error budget is used up") if r.index >= 25 else r for r in whole.records)
    stopped = replace(whole, records=records, header=replace(whole.header, stopped="the error budget is used up"))
    rows = {(row.phase, row.kind): row.figures for row in stopped.rows()}
    assert (rows["", ""].requests, rows["", ""].failed) == (15, 0)
    assert rows["steady@20", ""].requests == 5


def test_what_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no result can be read there"):
        read_result(tmp_path)
    file = tmp_path / "result.json"
    file.write_text("{broken")
    with pytest.raises(ConfigError, match="not valid JSON"):
        read_result(file)
    file.write_text('{"format": 7}')
    with pytest.raises(ConfigError, match="no result of format 1; make one with"):
        read_result(file)
    file.write_text('{"format": 1, "seed": 1}')
    with pytest.raises(ConfigError, match="scenario"):
        read_result(file)
