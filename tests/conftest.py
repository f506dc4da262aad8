"""Fixtures of several rooms: the fake NVML library, compiled once; a PostgreSQL and a browser, started once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.fakes import nvml, postgresql

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[postgresql.Cluster]:
    bin_dir = postgresql.programs()
    if bin_dir is None:
        if os.environ.get(postgresql.REQUIRE):
            pytest.fail(f"{postgresql.MISSING}, and {postgresql.REQUIRE} is set")
        pytest.skip(postgresql.MISSING)
    with postgresql.running(bin_dir) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from tests.fakes import chromium  # its driver is for these tests alone

    executable = chromium.program()
    if executable is None:
        if os.environ.get(chromium.REQUIRE):
            pytest.fail(f"{chromium.MISSING}, and {chromium.REQUIRE} is set")
        pytest.skip(chromium.MISSING)
    with chromium.running(executable) as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """Where `ledger.database.Database` may open a new ledger: the test runs on both kinds."""
    if request.param == "sqlite":
        yield tmp_path / "ledger.sqlite"
        return
    cluster: postgresql.Cluster = request.getfixturevalue("postgresql_cluster")
    with cluster.database() as url:
        yield url
