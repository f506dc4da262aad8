"""The callers of the soak, as a process of their own: a seeded mix of requests, some of which are broken off or wrong.

    python -m benchmarks.soak_load URL --rate 20 --seconds 60     (the key stands in APPLIANCE_API_KEY)

With `--rate 0` thirty-two callers ask one after the other as fast as they are answered. Requests of a rate begin at
their times whether earlier ones have ended or not; while more than thirty-two are under way they are left out and
counted as `skipped`, so that a machine that others use too is not driven into overload. Prints one JSON object of
counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections import Counter
from typing import Any

import aiohttp

CALLERS = 32
QUESTION = "Take 12 boxes of 7 pens, then give 5 pens away. How many are left?"
KINDS = {"named": 35, "direct": 20, "orchestrated": 10, "text": 10, "responses": 5, "left": 10, "refused": 10}


def main() -> None:
    """Ask, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(_run(options.url, options.rate, options.seconds))))


async def _run(url: str, rate: float, seconds: float) -> dict[str, int]:
    headers = {"Authorization": f"Bearer {os.environ['APPLIANCE_API_KEY']}"}
    counts: Counter[str] = Counter()
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout) as session:
        if rate:
            await _open_loop(session, counts, rate, seconds)
        else:
            ends_s = time.monotonic() + seconds
            await asyncio.gather(*(_caller(session, counts, number, ends_s) for number in range(CALLERS)))
    return dict(counts)


async def _caller(session: aiohttp.ClientSession, counts: Counter[str], seed: int, ends_s: float) -> None:
    chance = random.Random(seed)
    while time.monotonic() < ends_s:
        await _one(session, counts, _kind(chance))


async def _open_loop(session: aiohttp.ClientSession, counts: Counter[str], rate: float, seconds: float) -> None:
    chance, began_s = random.Random(2026), time.monotonic()
    running: set[asyncio.Task[None]] = set()
    at_s = 0.0
    while at_s < seconds:
        at_s += chance.expovariate(rate)
        await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
        kind = _kind(chance)
        if len(running) >= CALLERS:
            counts["skipped"] += 1
            continue
        task = asyncio.create_task(_one(session, counts, kind))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)


def _kind(chance: random.Random) -> str:
    return chance.choices(tuple(KINDS), tuple(KINDS.values()))[0]


async def _one(session: aiohttp.ClientSession, counts: Counter[str], kind: str) -> None:
    path, body = _request(kind)
    try:
        async with session.post(path, json=body) as response:
            if kind == "left":
                await response.content.readany()
            else:
                await response.read()
            counts[f"{kind} {response.status}"] += 1
    except (aiohttp.ClientError, TimeoutError) as error:
        counts[f"{kind} {type(error).__name__}"] += 1


def _request(kind: str) -> tuple[str, dict[str, Any]]:
    chat, hello = "/v1/chat/completions", [{"role": "user", "content": "Who are you?"}]
    match kind:
        case "named":
            return chat, {"model": "fake-generalist", "messages": hello, "stream": True}
        case "direct":
            return chat, {"model": "auto", "messages": hello}
        case "orchestrated":
            return chat, {"model": "auto", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
        case "text":
            return "/v1/completions", {"model": "fake-generalist", "prompt": "Who are you?"}
        case "responses":
            return "/v1/responses", {"model": "fake-generalist", "input": "Who are you?", "stream": True}
        case "left":
            return chat, {"model": "auto", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
        case _:
            return chat, {"model": "auto", "messages": hello, "temprature": 1}


if __name__ == "__main__":
    main()
