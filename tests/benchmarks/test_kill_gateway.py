"""A few of the thousand times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_gateway_that_is_killed_loses_no_request_and_charges_none_twice() -> None:
    """As a process of its own: it forks, which one with threads must not."""
    command = [sys.executable, "-W", "error", "-m", "benchmarks.kill_gateway", "--kills", "8", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3_000:]
    found = json.loads(done.stdout)
    assert found["kills"] == 8
    assert found["begun"] >= 8
    assert (found["lost"], found["charged_twice"], found["charged_otherwise_than_told"]) == (0, 0, 0)
    assert found["answered_and_recorded_so"] + found["answered_but_recorded_as_interrupted"] == found["answered"]
    assert found["ledger"] == "ok"
    assert found["audit"].endswith("whole")
