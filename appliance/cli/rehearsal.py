"""`python -m appliance.cli.rehearsal CONFIG RESULT`: starts the appliance, has one request orchestrated, stops it.

It is what `appliance doctor --egress` watches: everything that it starts runs in its network namespace.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from appliance.bootstrap.data_dir import read_running
from appliance.cli.connection import locate
from appliance.config import load
from appliance.errors import ApplianceError, EngineStartError

QUESTION = "Start with 12, multiply by 7, then subtract 5."
STOP_LIMIT_S = 60
EXTRA_S = 60
"""Beside what the engines may take to start: imports and the plan."""


def main(arguments: list[str]) -> int:
    """0 when the request was answered and everything ended well; else 1, with the reason on stderr."""
    config, result = map(Path, arguments)
    command = [sys.executable, "-m", "appliance", "up", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait(config, process)
        result.write_text(json.dumps(_ask(config)), encoding="utf-8")
    except ApplianceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        code = _stop(process)
    return 0 if code in {0, 130} else 1


def _wait(config: Path, process: subprocess.Popen[bytes]) -> None:
    """Until it announces itself. Raises EngineStartError."""
    settings = load(config)
    limit_s = EXTRA_S + settings.engines.start_timeout_s * len(settings.pool)
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise EngineStartError(f"`appliance up` ended with {process.returncode}; its message stands above")
        running = read_running(settings.data_dir)
        if running is not None and running.pid == process.pid:
            return
        time.sleep(0.2)
    raise EngineStartError(f"the appliance was not ready after {limit_s:.0f} s")


def _ask(config: Path) -> dict[str, Any]:
    """One request that is to be planned; how it was answered, without the answer. Raises ApplianceError."""
    body = {
        "model": load(config).coordinator.virtual_model,
        "messages": [{"role": "user", "content": QUESTION}],
        "effort": "high",
    }
    started = time.monotonic()
    with locate(config, None, None).post("/v1/chat/completions", body) as reply:
        document = json.load(reply.body)
    about = document.get("appliance", {})
    return {
        "strategy": about.get("strategy", ""),
        "calls": about.get("calls", 0),
        "tokens": document["usage"]["total_tokens"],
        "characters": len(document["choices"][0]["message"]["content"] or ""),
        "seconds": round(time.monotonic() - started, 2),
    }


def _stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
