"""The same tasks put to the gateway by a well-known evaluation library and by `appliance eval run`, side by side."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from appliance.evaluation.run_file import read_run
from benchmarks.relay.contestants import environment
from benchmarks.starter.appliance_process import DemoFailed, RunningAppliance, appliance
from benchmarks.starter.suite import SUITE, write_part

PEER: Final = "inspect"
MODEL: Final = "auto"
_SCRIPT: Final = Path(__file__).with_name("inspect_run.py")


def compared(running: RunningAppliance, config: Path, tasks: int, directory: Path) -> dict[str, Any]:
    """Right answers by both, and the tasks that they do not agree on. Raises DemoFailed where Inspect did not end."""
    suite = write_part("inspect", SUITE, tasks, directory)
    theirs = _by_inspect(running, suite.with_suffix(".jsonl"), directory / "inspect-logs")
    out = directory / "inspect.run.jsonl"
    out.unlink(missing_ok=True)
    command = ["eval", "run", str(suite), "--targets", MODEL, "--out", str(out), "--json"]
    appliance(*command, "--config", str(config))
    ours = {attempt.task_id: attempt.score == 1.0 for attempt in read_run(out).attempts}
    right = theirs["right"]
    return {
        "inspect_ai": theirs["inspect_ai"],
        "tasks": len(ours),
        "right_by_inspect": sum(right.values()),
        "right_by_eval_run": sum(ours.values()),
        "tokens_seen_by_inspect": theirs["tokens"],
        "not_agreed_on": sorted(task for task in ours if ours[task] != right.get(task)),
    }


def _by_inspect(running: RunningAppliance, suite: Path, logs: Path) -> dict[str, Any]:
    python = environment(PEER) / "bin" / "python"
    # -P: the script's neighbours must not stand in for modules of the standard library.
    command = [str(python), "-P", str(_SCRIPT), str(suite), running.url, MODEL, str(logs)]
    done = subprocess.run(command, input=running.api_key, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise DemoFailed(f"Inspect ended with {done.returncode}; its message stands above")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if found["status"] != "success":
        raise DemoFailed(f"Inspect: {found['status']}: {found['error']}")
    return found
