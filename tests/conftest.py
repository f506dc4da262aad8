"""Fixtures of several rooms: the fake NVML library, compiled once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.fakes import nvml

# The same examples in every run; to look for new ones: `pytest --hypothesis-profile=search`.
settings.register_profile("search", settings())
settings.register_profile("same", derandomize=True, deadline=None)  # a busy machine is no failure
settings.load_profile("same")

Scenario = Callable[..., None]


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvml.compiled(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def machine(nvml_library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scenario:
    """Make this machine one of a scenario, with more facts if need be."""

    def become(name: str, *facts: str) -> None:
        file = tmp_path / "scenario.txt"
        file.write_text(nvml.scenario(name).read_text() + "".join(f"{fact}\n" for fact in facts))
        nvml.load(monkeypatch, nvml_library, file)

    return become
