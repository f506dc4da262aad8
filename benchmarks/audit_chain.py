"""The audit chain: what a record costs, and whether every change of a chain of 100,000 records is found.

`python -m benchmarks.audit_chain` writes a chain as the gateway does, reads it back, changes it in one place at a time
(a byte, a record deleted, two swapped, the end cut off), verifies the whole of it each time, and writes the figures and
the machine to `results/audit-chain.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from appliance.domain.audit import Accepted, Finished
from appliance.ledger.audit_chain import Head, first_break
from appliance.ledger.audit_file import AuditFile, lines, read_head, segments
from appliance.ledger.audit_log import AuditLog
from benchmarks import machine

RECORD = Path(__file__).parent / "results" / "audit-chain.json"
RECORDS, TRIALS, SEED, KEY = 100_000, 25, 5, b"k" * 32
BODY = b'{"model":"auto","messages":[{"role":"user","content":"' + b"How many pens are left? " * 30 + b'"}]}'
TOGETHER = 32
"""Requests at once, as the gateway's own benchmark has it."""

Change = Callable[[list[bytes], random.Random], tuple[list[bytes], int]]
"""A change of the lines, and the number of the record that it should be found at, or the one after it."""


async def _written(log: AuditLog, requests: int) -> dict[str, float]:
    """Two records for each request; the first is awaited."""
    waits = list[float]()

    async def caller(first: int) -> None:
        for number in range(first, requests, TOGETHER):
            began_s = time.perf_counter()
            await log.accepted(
                Accepted(f"req-{number}", f"{number:032x}", "acme", "key ab12", "/v1/x", "auto", (), 200, "", BODY)
            )
            waits.append(time.perf_counter() - began_s)
            log.finished(Finished(f"req-{number}", f"{number:032x}", "ok", "direct", 400, "0" * 64))

    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller(first) for first in range(TOGETHER)))
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    waits.sort()
    return {
        "requests_per_s": round(requests / wall_s),
        "cpu_us_per_request": round(1e6 * cpu_s / requests, 1),
        "wait_p50_ms": round(1e3 * waits[len(waits) // 2], 3),
        "wait_p99_ms": round(1e3 * waits[len(waits) * 99 // 100], 3),
    }


def _edit(read: list[bytes], draw: random.Random) -> tuple[list[bytes], int]:
    number = draw.randrange(len(read))
    line = bytearray(read[number])
    position = draw.randrange(len(line))
    line[position] ^= draw.randrange(1, 256)
    changed = [*read[:number], *bytes(line).splitlines(keepends=True), *read[number + 1 :]]
    if bytes(line)[-1:] != b"\n" and number + 1 < len(read):  # the line's end was hit: it is one with the next
        changed = [*read[:number], bytes(line) + read[number + 1], *read[number + 2 :]]
    return changed, number + 1


def _delete(read: list[bytes], draw: random.Random) -> tuple[list[bytes], int]:
    number = draw.randrange(len(read))
    return [*read[:number], *read[number + 1 :]], number + 1


def _swap(read: list[bytes], draw: random.Random) -> tuple[list[bytes], int]:
    one, other = sorted(draw.sample(range(len(read)), 2))
    changed = list(read)
    changed[one], changed[other] = changed[other], changed[one]
    return changed, one + 1


def _truncate(read: list[bytes], draw: random.Random) -> tuple[list[bytes], int]:
    left = draw.randrange(len(read))
    part = read[left][: draw.randrange(len(read[left]))]
    return ([*read[:left], part] if part else read[:left]), left + 1


CHANGES: dict[str, Change] = {"edits": _edit, "deletions": _delete, "swaps": _swap, "truncations": _truncate}


def _found(read: list[bytes], head: Head, trials: int) -> dict[str, Any]:
    draw, found = random.Random(SEED), dict[str, Any]()
    for kind, change in CHANGES.items():
        exact = hit = 0
        for _ in range(trials):
            changed, number = change(read, draw)
            broken, _ = first_break("0", changed, [head], KEY)
            hit += broken is not None
            exact += broken is not None and broken.number in (number, number + 1)
        found[kind] = {"made": trials, "found": hit, "at_the_record_or_the_next": exact}
    return found


def measure(folder: Path, records: int, trials: int) -> dict[str, Any]:
    """All figures."""
    place = AuditFile(folder / "audit", folder / "heads", KEY, 1_000_000_000)

    async def write() -> dict[str, float]:
        log = AuditLog(place, KEY)
        try:
            return await _written(log, records // 2)
        finally:
            log.close()

    writing = asyncio.run(write())
    (segment,) = segments(folder / "audit", "0")
    head = read_head(folder / "heads", "0")
    assert head is not None
    began_s = time.perf_counter()
    broken, at = first_break("0", lines([segment]), [head], KEY)
    took_s = time.perf_counter() - began_s
    assert broken is None
    return {
        "records": at.number,
        "bytes_per_record": round(segment.stat().st_size / at.number),
        "writing": writing,
        "verifying": {"seconds": round(took_s, 2), "records_per_s": round(at.number / took_s)},
        "changes": _found(list(lines([segment])), head, trials),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each kind of change")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments.records, arguments.trials)
    Console().print(result)
    RECORD.write_text(json.dumps({"machine": machine.describe(), **result}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
