"""Records on disk, and what they say of a request."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bench.records import RequestRecord, read_records, write_records
from appliance.errors import ConfigError
from tests.bench.made import record


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    file, records = tmp_path / "r.jsonl", [record(0), record(1, error="status 503: no room", gaps_s=())]
    write_records(file, records)
    assert read_records(file) == tuple(records)


def test_a_file_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    write_records(file, [record(0)])
    file.write_text(file.read_text() + '{"index": 1}\n')
    with pytest.raises(ConfigError, match=r"r.jsonl: line 2 is no record of a request"):
        read_records(file)
    with pytest.raises(ConfigError, match="can't be read"):
        read_records(tmp_path / "none.jsonl")


def test_times_count_from_when_it_was_due() -> None:
    one = record(0, due_s=1.0, begun_s=1.5, first_event_s=2.0, first_content_s=3.0, last_content_s=5.0, ended_s=6.0)
    assert (one.lag_s, one.ttft_s, one.e2e_s) == (0.5, 1.0, 5.0)
    assert one.first_role_event_s is None


def test_what_a_coordinator_tells_of_its_work_is_no_token() -> None:
    one = record(
        0, due_s=1.0, orchestrated=True, first_event_s=2.0, first_content_s=3.0, last_content_s=5.0, chunks=5,
        completion_tokens=400,
    )  # fmt: skip
    assert (one.ttft_s, one.first_role_event_s) == (2.0, 1.0)
    assert one.output_tokens == 5
    assert one.itl_s == pytest.approx(0.5)


def test_one_token_has_no_time_between_tokens() -> None:
    assert record(0, chunks=1, completion_tokens=1).itl_s is None
    assert isinstance(record(0), RequestRecord)
