"""An engine of a fake pool: takes vLLM's command line, answers as the fake vLLM server with this pool's script.

`interpreter(directory)` writes what stands in for the interpreter of vLLM's environment, so that `appliance up` starts
these with its real launcher. A file beside that interpreter changes how they start: `fail-<model>` (its text is the
error), `slow-<model>` (its text is the seconds), `log-<model>` (its text is what it says while it starts).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.fakes.answers import Body, Reply, last_content
from tests.fakes.fake_vllm import FakeVllm

ROOT = Path(__file__).parents[2]

PLAN = {
    "steps": [
        {"id": "s1", "skill": "math", "do": "12*7"},
        {"id": "s2", "skill": "math", "do": "$s1-5"},
    ]
}
START_LOG = """\
(EngineCore pid=9) INFO 11-24 00:27:43 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: …
(EngineCore pid=9) INFO 11-24 00:27:45 [kv_cache_utils.py:2327] CPU KV cache size: 21,760 tokens, Maximum concurrency …
"""
"""vLLM's own lines, cut."""
QUESTION = "Take 12 boxes of 7 pens, then give 5 pens away. How many are left?"
ANSWER = "79"
_SUMS = {"12*7": "12*7;84", "84-5": "84-5;79"}


def interpreter(directory: Path) -> Path:
    """An executable that runs this module in place of vLLM's server."""
    script = directory / "fake-python"
    # PYTHONPATH: engines are told not to look for modules in their working directory.
    exports = f"export FAKE_POOL_DIR='{directory}' PYTHONPATH='{ROOT}'"
    lines = ["#!/bin/sh", exports, f"cd '{ROOT}' || exit 1"]
    lines.append(f'exec {sys.executable} -m tests.fakes.fake_pool_engine "$@"')
    script.write_text("\n".join(lines) + "\n")
    script.chmod(0o755)
    return script


def script(model: str, body: Body) -> Reply:
    """What each model of the pool says."""
    asked = last_content(body)
    if "planner" in model:
        return json.dumps(PLAN)
    if "verifier" in model:
        return f"{asked}; pass"
    if "math" in model:
        return _SUMS.get(asked, asked)
    return "I am the generalist"


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--port", type=int, required=True)
    options, _ = parser.parse_known_args()
    directory, model = Path(os.environ["FAKE_POOL_DIR"]), options.served_model_name
    failing, slow, log = (directory / f"{what}-{model}" for what in ("fail", "slow", "log"))
    if failing.exists():
        sys.exit(failing.read_text())
    print(log.read_text() if log.exists() else START_LOG, end="", flush=True)
    asyncio.run(_serve(model, options.port, float(slow.read_text()) if slow.exists() else 0.0))


async def _serve(model: str, port: int, delay_s: float) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await asyncio.sleep(delay_s)
    key = os.environ.get("VLLM_API_KEY", "")
    async with FakeVllm(model=model, port=port, api_key=key, script=lambda body: script(model, body)):
        await stopped.wait()


if __name__ == "__main__":
    main()
