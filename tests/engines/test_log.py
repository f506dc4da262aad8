"""What is quoted of an engine's log. The lines are vLLM 0.32's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.engines import guardian, log
from appliance.engines.log import open_log, read_end, telling_lines

BROKEN_WEIGHTS = """\
(EngineCore pid=9010) ERROR 11-23 22:00:01 [core.py:1510]     with safe_open(st_file, framework="pt") as f:
(EngineCore pid=9010) ERROR 11-23 22:00:01 [core.py:1510] safetensors_rust.SafetensorError: incomplete metadata
(EngineCore pid=9010) Process EngineCore:
(EngineCore pid=9010) safetensors_rust.SafetensorError: incomplete metadata
(APIServer pid=8990) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
TOO_LONG = """\
(APIServer pid=1) WARNING 11-23 22:00:19 [system_utils.py:255] fd limit errors like `OSError: [Errno 24] Too many`
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (100000) is greater than the derived max_model_len
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""
PORT = "Traceback (most recent call last):\nOSError: [Errno 98] Address already in use\n"
ARGUMENT = "usage: api_server.py [-h]\napi_server.py: error: argument --dtype: invalid choice: 'float99'\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BROKEN_WEIGHTS, ("safetensors_rust.SafetensorError: incomplete metadata",)),
        (PORT, ("OSError: [Errno 98] Address already in use",)),
        (ARGUMENT, ("api_server.py: error: argument --dtype: invalid choice: 'float99'",)),
        ("one\ntwo\n\nthree\n", ("two", "three")),
        ("", ()),
    ],
)
def test_telling_lines(text: str, told: tuple[str, ...]) -> None:
    assert telling_lines(text) == told


def test_a_value_error_of_pydantic_is_told_without_its_wrapping() -> None:
    [line] = telling_lines(TOO_LONG)
    assert line.startswith("Value error, User-specified max_model_len (100000)")


def test_long_lines_are_cut() -> None:
    [line] = telling_lines("ValueError: " + "x" * 1000)
    assert len(line) == log.QUOTED_CHARS


def test_only_this_runs_lines_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    first = open_log(path)
    path.write_text("ValueError: of the first run\n")
    assert first.quote() == "ValueError: of the first run"
    second = open_log(path)
    with path.open("a") as file:
        file.write("ValueError: of the second run\n")
    assert second.quote() == "ValueError: of the second run"
    assert path.stat().st_mode & 0o077 == 0


def test_large_logs_are_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guardian, "ROTATE_AT_BYTES", 8)
    path = tmp_path / "a.log"
    for number in range(6):
        assert open_log(path).offset == 0
        path.write_text(f"run {number}")
    assert [p.read_text() for p in sorted(tmp_path.iterdir())] == ["run 5", "run 4", "run 3", "run 2"]


def test_a_run_whose_first_lines_were_set_aside_is_quoted_too(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("x" * 100 + "\n")
    begun = open_log(path)
    path.write_text("ValueError: the cause\n")
    guardian.set_aside(path)
    path.write_text("it ends\n")
    assert begun.quote() == "ValueError: the cause"


def test_the_end_goes_back_into_what_was_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert read_end(path) == ""
    path.write_text("old ")
    guardian.set_aside(path)
    path.write_text("new")
    assert read_end(path) == "old new"
    assert read_end(path, size_bytes=5) == "d new"
    path.unlink()
    assert read_end(path) == "old "
