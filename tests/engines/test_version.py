"""The version of vLLM beside an interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.engines.version import installed_version, too_old


@pytest.mark.parametrize(
    "packages", ["lib/python3.11/site-packages", "lib/python3/dist-packages", "local/lib/python3.12/dist-packages"]
)
def test_the_version_is_read_from_the_environment(tmp_path: Path, packages: str) -> None:
    package = tmp_path / packages / "vllm"
    package.mkdir(parents=True)
    text = "__version__: str\nversion: str\n__version__ = version = '0.32.0+cpu'\n__version_tuple__ = (0, 32, 0)\n"
    (package / "_version.py").write_text(text)
    assert installed_version(tmp_path / "bin" / "python") == "0.32.0"
    (package / "_version.py").write_text("nothing")
    assert installed_version(tmp_path / "bin" / "python") is None


def test_an_interpreter_without_vllm_has_none(tmp_path: Path) -> None:
    assert installed_version(tmp_path / "bin" / "python") is None


def test_versions_with_known_holes_are_too_old() -> None:
    assert [too_old(version) for version in ("0.31.9", "0.9", "0.32.0", "1.0.0", "dev")] == [
        True,
        True,
        False,
        False,
        False,
    ]
