"""Sends 100,000 bent bodies into the application: no answer may be a 5xx or show a stack trace.

    python -m benchmarks.malformed [--count 100000] [--seed 2026]

In this process and without sockets, so it stands on the fakes of the tests. Exit code 1 when any answer was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from appliance.telemetry import logs
from benchmarks.machine import describe
from tests.gateway.inside import inside
from tests.security.hostile import Tally, send
from tests.security.malformed import VALID, malformed
from tests.security.scripted import obliging

RESULTS = Path(__file__).parent / "results" / "malformed.json"
SHOWN = 20


def main() -> None:
    """Send, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        logs.configure(file=Path(directory) / "access.log", level="ERROR")
        began_s = time.monotonic()
        tally = asyncio.run(send(inside(obliging).app, malformed(options.seed, options.count)))
        taken_s = time.monotonic() - began_s
    for problem, request in tally.wrong[:SHOWN]:
        print(f"{request.path}: {problem}\n  {request.body[:300]!r}", file=sys.stderr)
    RESULTS.write_text(json.dumps(_record(tally, options.count, options.seed, taken_s), indent=2) + "\n")
    found = dict(sorted(tally.statuses.items()))
    print(f"{options.count:,} requests in {taken_s:.0f} s: {found}, wrong: {len(tally.wrong)}")
    sys.exit(1 if tally.wrong else 0)


def _record(tally: Tally, count: int, seed: int, taken_s: float) -> dict[str, object]:
    return {
        "machine": describe(),
        "requests": count,
        "seed": seed,
        "routes": sorted(VALID),
        "seconds": round(taken_s, 1),
        "statuses": {str(status): found for status, found in sorted(tally.statuses.items())},
        "wrong": len(tally.wrong),
    }


if __name__ == "__main__":
    main()
