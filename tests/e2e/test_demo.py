"""`make demo` with the network taken away: the whole job in a namespace that has loopback only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOOPBACK_ONLY = [sys.executable, str(Path(__file__).with_name("loopback_only.py"))]

pytestmark = pytest.mark.e2e


def isolated() -> list[str]:
    """The command that takes the network away; skips where the kernel does not allow it."""
    command = ["unshare", "-rn", *LOOPBACK_ONLY]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine allows no network namespaces, so the network can't be taken away")
    return command


def test_demo_does_the_main_job_without_a_network(tmp_path: Path) -> None:
    environment = {**os.environ, "APPLIANCE_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "160"}
    command = [*isolated(), sys.executable, "-m", "benchmarks.starter", "demo"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "planned, executed, verified and repaired" in done.stdout
    assert "plan_execute_verify" in done.stdout
