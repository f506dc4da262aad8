"""A fake NVML library: C that the tests compile, loaded by the real pynvml, answering from a scenario file."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pynvml
import pytest

HOME = Path(__file__).parent
LIBRARY = "libnvidia-ml.so.1"
SCENARIO = "FAKE_NVML_SCENARIO"


def scenario(name: str) -> Path:
    """The file of a scenario."""
    return HOME / "scenarios" / f"{name}.txt"


def compiled(directory: Path) -> Path:
    """The library below `directory`; fails the test where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.fail("there is no C compiler for the fake NVML library; install gcc")
    library = directory / LIBRARY
    if not library.exists():
        options = ("-Wall", "-Werror", "-shared", "-fPIC", "-O1")
        subprocess.run([compiler, *options, "-o", str(library), str(HOME / "nvml.c")], check=True, capture_output=True)
    return library


def load(monkeypatch: pytest.MonkeyPatch, library: Path, file: Path) -> None:
    """Let pynvml find `library` for the rest of the test, as its loader would, and `file` as its scenario."""
    monkeypatch.setenv(SCENARIO, str(file))
    loaded = ctypes.CDLL(str(library))
    loaded.fakeReset()
    monkeypatch.setattr(pynvml, "nvmlLib", loaded)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})


def unload(monkeypatch: pytest.MonkeyPatch) -> None:
    """No driver: pynvml's loader finds no library."""

    def none(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "CDLL", none)
