"""`appliance doctor` as it is called, with engines that are stand-ins, one of which tries to call out."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from appliance.cli.main import app
from tests.airgap.test_egress import needs_namespaces
from tests.cli.pool import ROOT, Pool, make_pool

PLANTED = "import socket; s = socket.socket(); s.settimeout(1); s.connect_ex(('192.0.2.9', 443))"


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setenv("COLUMNS", "200")
    made = make_pool(tmp_path)
    version = tmp_path / "env" / "lib" / "python3.11" / "site-packages" / "vllm" / "_version.py"
    version.parent.mkdir(parents=True)
    version.write_text("__version__ = '0.32.0'\n")
    (tmp_path / "env" / "bin").mkdir()
    python = Path(made.settings["engines"]["python"]).rename(tmp_path / "env" / "bin" / "python")
    made.settings["engines"]["python"] = str(python)
    made.write()
    return made


def test_a_fit_machine(pool: Pool, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["doctor", "--config", str(pool.config), "--support-bundle", str(tmp_path / "s.tgz")]
    )
    assert done.exit_code == 0, done.output
    assert "engine environment" in done.stdout
    with tarfile.open(tmp_path / "s.tgz") as archive:
        assert "support/findings.json" in archive.getnames()


def test_a_machine_that_is_not(pool: Pool) -> None:
    pool.settings["engines"]["python"] = "/nowhere/python"
    pool.write()
    done = CliRunner().invoke(app, ["doctor", "--config", str(pool.config), "--json"])
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["level"] == "fail"
    assert any(f["check"] == "engine environment" and f["level"] == "fail" for f in document["findings"])


@needs_namespaces
def test_the_whole_job_without_a_network_and_an_engine_that_calls_out(pool: Pool) -> None:
    """What the engine tried is in the report, and nothing else is."""
    engine = Path(pool.settings["engines"]["python"])
    lines = engine.read_text().splitlines()
    engine.write_text("\n".join([*lines[:-1], f'{sys.executable} -c "{PLANTED}"', lines[-1]]) + "\n")
    command = [sys.executable, "-m", "appliance", "doctor", "--egress", "--json", "--config", str(pool.config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)["egress"]
    assert report["answer"] is not None, done.stderr
    assert report["answer"]["strategy"] == "plan_execute_verify"
    assert {(attempt["address"], attempt["port"]) for attempt in report["outside"]} == {("192.0.2.9", 443)}
    assert report["attempts_outside"] == len(pool.settings["pool"])
    assert report["within_loopback"] > 0
    assert report["exit_code"] == 0
