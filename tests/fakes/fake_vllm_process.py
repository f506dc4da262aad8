"""The fake vLLM server as a process, with an EngineCore-like child, for the launcher and the supervisor.

    python -m tests.fakes.fake_vllm_process --port 8123 --model starter-math [--fail "ValueError: no"] [--child] …

It reads its API key from VLLM_API_KEY as vLLM does. `POST /fake/exit {"code": 0}` ends it, `POST /fake/wedge` makes
it accept requests without ever answering while /health stays 200.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

from aiohttp import web

from tests.fakes.answers import Fault, FaultKind
from tests.fakes.fake_vllm import FakeVllm


def main() -> None:
    """Parse the arguments and serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--start-delay-s", type=float, default=0.0)
    parser.add_argument("--fail", default="", help="print this and exit 1 instead of serving")
    parser.add_argument("--child", action="store_true", help="start a child that does not end by itself")
    parser.add_argument("--ignore-term", action="store_true", help="imitate a server that hangs at shutdown")
    parser.add_argument("--wedged", action="store_true", help="never answer a completion")
    parser.add_argument("--latency-s", type=float, default=0.0)
    options = parser.parse_args()
    if options.child:
        _start_child()
    if options.fail:
        print("INFO starting", flush=True)
        print(options.fail, file=sys.stderr, flush=True)
        sys.exit(1)
    sys.exit(asyncio.run(_serve(options)))


def _start_child() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code])
    print(f"child pid={child.pid}", flush=True)


async def _serve(options: argparse.Namespace) -> int:
    await asyncio.sleep(options.start_delay_s)
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    faults = [Fault(FaultKind.HANG)] if options.wedged else []
    key = os.environ.get("VLLM_API_KEY", "")
    fake = FakeVllm(model=options.model, port=options.port, api_key=key, faults=faults, latency_s=options.latency_s)

    async def leave(request: web.Request) -> web.Response:
        code: Any = (await request.json())["code"]
        done.set_result(int(code))
        return web.Response()

    async def wedge(_: web.Request) -> web.Response:
        fake.faults.append(Fault(FaultKind.HANG, after_tokens=0))
        return web.Response()

    fake.extra_routes = (web.post("/fake/exit", leave), web.post("/fake/wedge", wedge))

    def terminate() -> None:
        if not options.ignore_term and not done.done():
            done.set_result(0)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    async with fake:
        print(f"serving on {fake.base_url}", flush=True)
        return await done


if __name__ == "__main__":
    main()
