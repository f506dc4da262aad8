"""Runs on disk: they go on where they were cut, and never mix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import ConfigError
from appliance.evaluation.run_file import Header, RunFile, read_run
from tests.evaluation.attempts import attempt

HEADER = Header("mine", "abc", ("auto",), 1, 0, {"machine": "this one"})


def test_a_run_that_was_cut_in_a_line_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.jsonl"
    first, second = attempt("auto", 1, 1.0), attempt("auto", 2, None, reason="naïve")
    with RunFile(path, HEADER) as file:
        file.append(first)
        file.append(second)
    whole = path.read_bytes()
    for cut in (1, 10, len(whole.splitlines()[-1])):
        path.write_bytes(whole[:-cut])
        with RunFile(path, replace(HEADER, about={})) as file:
            assert file.before == (first,)
            assert file.header.about == HEADER.about
            file.append(second)
        assert read_run(path).attempts == (first, second)
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suite_digest": "xyz"}, "before the suite was changed"),
        ({"seed": 1}, "with other seed"),
        ({"targets": ("auto", "small")}, "with other targets"),
    ],
)
def test_another_run_is_not_mixed_in(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "run.jsonl"
    RunFile(path, HEADER).__exit__()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=said):
        RunFile(path, replace(HEADER, **change))  # type: ignore[arg-type]  # any field
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no run"),
        (b"{}\n", "line 1 is not the header"),
        (b"half a li", "holds no run"),
    ],
)
def test_files_that_are_no_runs(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_run(path)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    RunFile(path, HEADER).__exit__()
    with path.open("ab") as file:
        file.write(b'{"target": 1}\n')
    with pytest.raises(ConfigError, match=r"run\.jsonl: line 2 is no attempt"):
        read_run(path)
