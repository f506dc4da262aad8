"""Secrets on disk: private, whole, and the same for all who make one at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.config.secret_file import make_secret_file


def test_it_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "key"
    make_secret_file(file, "abc")
    assert file.read_text() == "abc\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_whoever_makes_it_at_once_has_the_same(tmp_path: Path) -> None:
    file = tmp_path / "key"

    def made(number: int) -> str:
        make_secret_file(file, str(number))
        return file.read_text()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(made, range(40)))) == 1
    assert list(tmp_path.iterdir()) == [file]


def test_where_it_cant_be_written_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        make_secret_file(tmp_path / "file" / "key", "abc")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_run_left_is_no_hindrance(tmp_path: Path) -> None:
    draft = tmp_path / "key.draft"
    draft.write_text("half of a longer secret")
    draft.chmod(0o644)
    make_secret_file(tmp_path / "key", "abc")
    assert (tmp_path / "key").read_text() == "abc\n"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert not draft.exists()


def test_one_that_is_there_stays(tmp_path: Path) -> None:
    make_secret_file(tmp_path / "key", "abc")
    make_secret_file(tmp_path / "key", "xyz")
    assert (tmp_path / "key").read_text() == "abc\n"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
