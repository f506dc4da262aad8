"""What the generator's own check makes of times that are known; its true figures are no test's business."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.bench import self_check
from appliance.bench.self_check import MOST_BIAS_S, REQUIRED_CHUNKS_S, Reading, SelfCheck, kept, reading_of
from appliance.errors import NotMeasured
from tests.bench.made import record

GOOD = Reading(REQUIRED_CHUNKS_S, REQUIRED_CHUNKS_S, 0.0002, 0.001)


def test_bias_is_what_of_a_ttft_the_mock_did_not_take() -> None:
    records = [record(n, due_s=n * 0.1, first_content_s=n * 0.1 + 0.1, ended_s=n * 0.1 + 0.4) for n in range(40)]
    stamps = {one.request_id: (1_000.0, 1_000.0 + 0.0998) for one in records}
    found = reading_of(records, 0.0, stamps, 50.0)
    assert found.ttft_bias_p50_s == pytest.approx(0.0002)
    assert found.chunks_s == pytest.approx(50.0, rel=0.03)
    assert found.holds


def test_a_stream_without_an_answer_is_no_check() -> None:
    with pytest.raises(NotMeasured, match="did not answer 1 streams: lost"):
        reading_of([record(0, error="lost")], 0.0, {}, 50.0)


def test_too_slow_and_too_late_are_refused_with_the_way_out() -> None:
    late = SelfCheck(1, (replace(GOOD, ttft_bias_p50_s=2 * MOST_BIAS_S),), 0.0)
    slow = SelfCheck(1, (replace(GOOD, chunks_s=12_000),), 0.0)
    assert SelfCheck(1, (GOOD,), 0.0).problem == ""
    for check in (late, slow):
        assert "more --processes" in check.problem
        assert check.highest_chunks_s == 0
    higher = Reading(40_000, 39_900, 0.00025, 0.01)
    assert SelfCheck(1, (GOOD, higher), 0.0).highest_chunks_s == 39_900


def test_a_check_holds_for_a_day_on_the_same_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def check(processes: int) -> SelfCheck:
        made.append(processes)
        return SelfCheck(processes, (GOOD,), time.time())

    monkeypatch.setattr(self_check, "check", check)
    file = tmp_path / "deep" / "check.json"
    assert kept(file, 1).readings == (GOOD,)
    assert kept(file, 1).readings == (GOOD,)
    assert made == [1]
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "made_unix_s": document["made_unix_s"] - 90_000}))
    kept(file, 1)
    kept(file, 2)
    assert made == [1, 1, 2]
    file.write_text("{broken")
    kept(file, 2)
    assert made == [1, 1, 2, 2]
