"""A long run at half load: does memory grow, and does everything come back to zero afterwards?

    python -m benchmarks.soak [--minutes 20]

The request path and the control loop run in this process, so that its tasks, descriptors and reservations can be
counted; engines are fake vLLM processes, callers a process of their own. First the callers ask as fast as they are
answered, to find the full rate; then at half of it. The fakes are those of the tests. Growth of memory is the median of
the last tenth of the run against the median of the tenth after the first quarter: until then caches fill. Exit code 1
when memory grew by 2% or more, or something was left.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from appliance.bootstrap.access import key_file
from appliance.bootstrap.control_wiring import build_control_loop
from appliance.bootstrap.lineup import decide
from appliance.bootstrap.request_path import RequestPath
from appliance.bootstrap.request_wiring import build_request_path
from appliance.bootstrap.salt import salt_secret
from appliance.bootstrap.server import listen
from appliance.config import Settings, load
from appliance.domain.fleet import Fleet
from appliance.telemetry import logs
from benchmarks.machine import describe
from tests.cli.pool import make_pool

RESULTS = Path(__file__).parent / "results" / "soak.json"
FULL_S = 20.0
SAMPLE_S = 5.0
MOST_GROWTH = 0.02
REST_S = 15.0
"""Connections that are kept open for the next request are closed within this time after the last one."""


@dataclass(slots=True)
class Soak:
    """What was seen. `rss` are bytes, one sample every SAMPLE_S."""

    full_rate: float = 0.0
    rate: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)
    rss: list[int] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)

    @property
    def growth(self) -> float:
        """Share by which memory grew."""
        tenth = max(1, len(self.rss) // 10)
        quarter = len(self.rss) // 4
        return median(self.rss[-tenth:]) / median(self.rss[quarter : quarter + tenth]) - 1

    @property
    def left(self) -> dict[str, int]:
        """What there is more of than before."""
        return {name: count - self.before[name] for name, count in self.after.items() if count > self.before[name]}


def main() -> None:
    """Run, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        pool = make_pool(Path(directory))
        pool.write()
        logs.configure(file=Path(directory) / "soak.log")
        seen = asyncio.run(_soak(load(pool.config, {}), options.minutes * 60))
    good = seen.growth < MOST_GROWTH and not seen.left
    RESULTS.write_text(json.dumps(_record(seen, options.minutes), indent=2) + "\n")
    print(f"{seen.rate:.1f} of {seen.full_rate:.1f} requests/s for {options.minutes:g} minutes: {seen.answers}")
    print(f"memory grew by {seen.growth:.2%}; left: {seen.left or 'nothing'}")
    sys.exit(0 if good else 1)


async def _soak(settings: Settings, seconds: float) -> Soak:
    with ExitStack() as held:
        lineup, fleet = decide(settings), Fleet()
        listener = held.enter_context(listen(settings.server.host, settings.server.port))
        front = build_request_path(lineup, fleet, listener, held, salt_secret=salt_secret(settings))
        engines = build_control_loop(lineup, fleet, held, tally=front.parts.tally)
        await front.start()
        try:
            await engines.start()
            return await _measured(settings, front, seconds)
        finally:
            await front.stop()
            await engines.stop()


async def _measured(settings: Settings, front: RequestPath, seconds: float) -> Soak:
    file, seen = key_file(settings), Soak()
    assert file is not None, "the fake pool asks for a key"
    key = file.read_text(encoding="utf-8").split()[0]
    full = await _asked(front.url, key, 0.0, min(FULL_S, seconds))
    seen.full_rate = sum(full.values()) / min(FULL_S, seconds)
    seen.rate = seen.full_rate / 2
    await asyncio.sleep(REST_S)
    seen.before = _counts(front)
    watching = asyncio.create_task(_watch(seen))
    seen.answers = await _asked(front.url, key, seen.rate, seconds)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await asyncio.sleep(REST_S)
    seen.after = _counts(front)
    return seen


async def _watch(seen: Soak) -> None:
    process = psutil.Process()
    while True:
        seen.rss.append(process.memory_info().rss)
        await asyncio.sleep(SAMPLE_S)


def _counts(front: RequestPath) -> dict[str, int]:
    """All that has to come back to what it was."""
    gc.collect()
    parts = front.parts
    return {
        "tasks": len(asyncio.all_tasks()),
        "descriptors": psutil.Process().num_fds(),
        "threads": psutil.Process().num_threads(),
        "calls in flight": sum(parts.dispatcher.in_flight.values()),
        "calls waiting": sum(parts.dispatcher.waiting.values()),
        "open requests": parts.dispatcher.open_requests,
        "KV tokens held": sum(parts.coordinator.admission.held_tokens.values()),
        "accounts with reservations": sum(not one.holds_nothing for one in parts.coordinator.limits.accounts()),
    }


async def _asked(url: str, key: str, rate: float, seconds: float) -> dict[str, int]:
    command = (sys.executable, "-m", "benchmarks.soak_load", url, "--rate", str(rate), "--seconds", str(seconds))
    callers = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "APPLIANCE_API_KEY": key}, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await callers.communicate()
    counts: dict[str, int] = json.loads(output)
    return counts


def _record(seen: Soak, minutes: float) -> dict[str, Any]:
    return {
        "machine": describe(),
        "load_average": os.getloadavg(),
        "minutes": minutes,
        "full_requests_per_s": round(seen.full_rate, 1),
        "requests_per_s": round(seen.rate, 1),
        "answers": dict(sorted(seen.answers.items())),
        "rss_growth": round(seen.growth, 5),
        "rss_mib": [round(bytes_ / 2**20, 1) for bytes_ in seen.rss[:: max(1, len(seen.rss) // 60)]],
        "before": seen.before,
        "after": seen.after,
        "left": seen.left,
        "ended_unix_s": int(time.time()),
    }


if __name__ == "__main__":
    main()
