"""Logs: JSON lines with the request id, without prompts, keys and exception messages."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from appliance.telemetry import logs


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    former, former_config = logging.getLogger().handlers[:], structlog.get_config()
    path = tmp_path / "logs" / "appliance.log"
    logs.configure(file=path)
    yield path
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    for handler in former:
        root.addHandler(handler)
    structlog.configure(**former_config)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_one_json_object_per_line_with_the_bound_request_id(file: Path) -> None:
    with structlog.contextvars.bound_contextvars(request_id="req-1"):
        structlog.get_logger("house").info("request", status=200)
    (line,) = lines(file)
    assert line["event"] == "request"
    assert line["request_id"] == "req-1"
    assert (line["level"], line["logger"], line["status"]) == ("info", "house", 200)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("key", ["prompt", "messages", "answer", "content", "api_key", "Authorization", "headers"])
def test_telling_fields_are_redacted(file: Path, key: str) -> None:
    structlog.get_logger().warning("seen", **{key: "the caller's words"})
    assert lines(file)[0][key] == logs.REDACTED
    assert "caller" not in file.read_text()


def test_keys_are_redacted_wherever_they_stand(file: Path) -> None:
    structlog.get_logger().info("sent Bearer abc.def", url="x?key=sk-0123456789abcdef", more={"a": ["sk-0123456789"]})
    text = file.read_text()
    assert "abc.def" not in text
    assert "sk-0" not in text


@pytest.mark.parametrize("library", [True, False])
def test_exceptions_show_type_and_frames_but_no_message(file: Path, library: bool) -> None:
    try:
        raise ValueError("the caller's words")
    except ValueError:
        if library:
            logging.getLogger("other").exception("failed")
        else:
            structlog.get_logger().exception("failed")
    (line,) = lines(file)
    assert line["exception"] == "ValueError"
    assert line["frames"][0].startswith("test_logs.py:")
    assert "caller" not in file.read_text()


def test_records_of_libraries_have_the_same_form(file: Path) -> None:
    logging.getLogger("uvicorn.error").warning("port %d", 80)
    (line,) = lines(file)
    assert (line["event"], line["logger"], line["level"]) == ("port 80", "uvicorn.error", "warning")


def test_lines_that_are_ready_are_written_together_in_the_form_of_all_others(file: Path) -> None:
    lines = logs.RequestLines("appliance.test")
    lines.add(1_700_000_000.25, '"route":"/v1/x","status":200')
    lines.add(1_700_000_001.0, '"route":"/v1/y","status":503,"error":"engine_error"')
    assert not file.exists() or not file.read_text()
    lines.write()
    lines.write()
    first, second = map(json.loads, file.read_text().splitlines())
    assert first == {
        "event": "request",
        "route": "/v1/x",
        "status": 200,
        "level": "info",
        "logger": "appliance.test",
        "timestamp": "2023-11-14T22:13:20.250000Z",
    }
    assert (second["error"], second["timestamp"]) == ("engine_error", "2023-11-14T22:13:21.000000Z")
    logs.configure(file=file, level="WARNING")
    lines.add(1.0, '"status":200')
    lines.write()
    assert len(file.read_text().splitlines()) == 2
