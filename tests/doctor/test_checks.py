"""The checks of a machine, each with a machine that is fit and one that is not."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.config import load
from appliance.doctor import machine as checks
from appliance.doctor import startup_files, variables
from appliance.doctor.finding import Finding, Level, fail, ok, warn, worst
from appliance.doctor.preflight import examine
from tests.cli.pool import MODELS, make_pool
from tests.conftest import Scenario
from tests.fakes import nvml

NOW = 2_000_000_000.0


def levels(findings: Iterator[Finding] | list[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


def test_the_worst_counts() -> None:
    good, bad, wrong = ok("a", "x"), warn("b", "x", "y"), fail("c", "x", "y")
    assert worst([good]) == Level.OK
    assert worst([good, bad]) == Level.WARN
    assert worst([bad, wrong, good]) == Level.FAIL
    assert worst([]) == Level.OK


def test_gpus_and_their_driver(machine: Scenario) -> None:
    machine("l4-a100", "driver 580.95.05")
    driver, *gpus = checks.gpus(wanted=True)
    assert (driver.level, driver.says) == (Level.OK, "580.95.05")
    assert [gpu.level for gpu in gpus] == [Level.OK, Level.OK]
    assert "NVIDIA L4: 22.5 of 22.5 GiB free" in gpus[0].says


def test_an_old_driver_and_taken_memory(machine: Scenario) -> None:
    machine("eight-h100", "driver 535.104.05")
    driver, *gpus = checks.gpus(wanted=True)
    assert driver.level is Level.WARN
    assert "older than 580" in driver.says
    assert gpus[7].level is Level.WARN
    assert "other programs hold memory" in gpus[7].way_out


def test_sick_gpus(machine: Scenario) -> None:
    machine("sick")
    assert Level.FAIL in levels(list(checks.gpus(wanted=True)))
    machine("lost")
    assert Level.FAIL in levels(list(checks.gpus(wanted=True)))


def test_gpus_are_missed_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.unload(monkeypatch)
    assert levels(list(checks.gpus(wanted=True))) == [Level.FAIL]
    assert levels(list(checks.gpus(wanted=False))) == [Level.OK]


def test_memory() -> None:
    assert checks.memory(0).level is Level.OK
    short = checks.memory(1 << 60)
    assert short.level is Level.FAIL
    assert "are needed" in short.way_out


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SLOW_BYTES_PER_S", 1)
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 1)
    assert levels(checks.disk("data_dir", tmp_path / "not" / "yet")) == [Level.OK, Level.OK]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(checks, "SLOW_BYTES_PER_S", 1 << 60)
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 1 << 60)
    assert levels(checks.disk("data_dir", tmp_path)) == [Level.WARN, Level.WARN]

    def full(directory: Path, size_bytes: int) -> float:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checks, "write_speed", full)
    assert levels(checks.disk("data_dir", tmp_path))[-1] is Level.FAIL


@contextmanager
def open_files(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_limits_pages_and_clock(tmp_path: Path) -> None:
    with open_files(1024):
        assert checks.file_limit().level is Level.WARN
    pages = tmp_path / "enabled"
    for text, level in (("always [madvise] never", Level.OK), ("always madvise [never]", Level.WARN)):
        pages.write_text(text)
        assert checks.hugepages(pages).level is level
    assert checks.hugepages(tmp_path / "missing").level is Level.OK
    assert checks.clock(1_000_000.0).level is Level.FAIL
    assert checks.clock(NOW).level in {Level.OK, Level.WARN}


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment, as far as it is looked at; its directory of packages."""
    packages = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    return packages


def startup(environment: Path) -> list[Finding]:
    return list(startup_files.examine("x", environment.parents[2] / "bin" / "python"))


def test_harmless_start_up_files(environment: Path) -> None:
    (environment / "_editable.pth").write_text(f"# a comment\n{environment}\n")
    (environment / "_virtualenv.pth").write_text("import _virtualenv")
    assert levels(startup(environment)) == [Level.OK]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("litellm_init.pth", "import os; os.system('true')\n"),
        ("distutils-precedence.pth", "import base64; exec(base64.b64decode('cGFzcw=='))\n"),
        ("tab.pth", "import\tsubprocess\n"),
        ("elsewhere.pth", "/nowhere/at/all\n"),
        ("sitecustomize.py", ""),
        ("usercustomize.py", ""),
    ],
)
def test_unknown_start_up_files(environment: Path, name: str, content: str) -> None:
    (environment / name).write_text(content)
    (finding,) = startup(environment)
    assert finding.level is Level.FAIL
    assert name in finding.says


def test_no_environment(tmp_path: Path) -> None:
    assert levels(startup(tmp_path / "a" / "b" / "c" / "d")) == [Level.WARN]


def test_the_environments_of_this_project_have_nothing_unknown() -> None:
    root = Path(__file__).parents[2]
    for name in (".venv", ".venv-engine"):
        if (root / name).exists():
            assert levels(startup_files.examine(name, root / name / "bin" / "python")) == [Level.OK]


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("WANDB_API_KEY", Level.WARN),
        ("HTTPS_PROXY", Level.WARN),
        ("http_proxy", Level.WARN),
        ("LANGSMITH_TRACING", Level.WARN),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Level.WARN),
        ("LD_PRELOAD", Level.WARN),
        ("LD_AUDIT", Level.FAIL),
        ("HF_TOKEN", Level.WARN),
        ("AWS_SECRET_ACCESS_KEY_PASSWORD", Level.WARN),
        ("PGPASSWORD", Level.WARN),
    ],
)
def test_variables(name: str, level: Level) -> None:
    (finding,) = variables.examine({name: "a-value", "HOME": "/root", "APPLIANCE_API_KEY": "own"})
    assert finding.level is level
    assert name in finding.says
    assert "a-value" not in finding.says + finding.way_out


def test_variables_that_are_no_concern() -> None:
    harmless = {"PATH": "/bin", "VLLM_USE_MODELSCOPE": "0", "HTTPS_PROXY": "", "APPLIANCE_LEDGER_URL": "x"}
    assert levels(variables.examine(harmless)) == [Level.OK]


def test_a_whole_machine(tmp_path: Path) -> None:
    pool = make_pool(tmp_path)
    found = {finding.check: finding for finding in examine(load(pool.config), {}, NOW)}
    assert found["models"].level is Level.OK
    assert found["engine environment"].level is Level.FAIL
    (tmp_path / "store" / MODELS[0] / "evil.py").write_text("")
    with socket.create_server(("127.0.0.1", load(pool.config).server.port)):
        again = list(examine(load(pool.config), {}, NOW))
    assert any(f.check == "models" and f.level is Level.FAIL and "evil.py" in f.says for f in again)
    assert any(f.check == "ports" and f.level is Level.WARN for f in again)
    assert not os.access(tmp_path / "data", os.F_OK)
