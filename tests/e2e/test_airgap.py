"""Across the air gap with real vLLM: a bundle that is installed and serves without a network, and whom it calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_demo import isolated

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.e2e


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    isolated()
    environment = {**os.environ, "COLUMNS": "200"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)


def test_a_bundle_is_made_verified_installed_and_serves_without_a_network() -> None:
    done = run("benchmarks.bundle_demo")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "answered by plan_execute_verify" in done.stdout
    assert "attempts outside loopback: 0" in done.stdout


def test_the_whole_main_job_reaches_nobody_outside() -> None:
    done = run("appliance", "doctor", "--egress", "--json", "--config", "config/starter.yaml")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    report = json.loads(done.stdout)["egress"]
    assert report["attempts_outside"] == 0
    assert report["outside"] == []
    assert report["within_loopback"] > 100
    assert report["answer"]["strategy"] == "plan_execute_verify"
    assert report["answer"]["calls"] >= 3
