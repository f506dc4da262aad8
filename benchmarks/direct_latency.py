"""What an easy request through `auto` takes, beside the same request to the engine that answers it.

`python benchmarks/direct_latency.py` starts the starter pool, asks easy questions both ways in turn, so that other load
on the machine meets both alike, and writes the ratios and the machine to `results/direct_latency.json`. Starter answers
have some twenty tokens and take 20 to 40 ms; those of `LONG_TOKENS` tokens are as long as what a real model says to an
easy request.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))

import aiohttp  # noqa: E402
import psutil  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks import machine  # noqa: E402
from benchmarks.starter.appliance_process import RunningAppliance, running_appliance  # noqa: E402
from benchmarks.starter.statistics import percentile  # noqa: E402
from benchmarks.starter.suite import load  # noqa: E402

CONFIG = ROOT / "config" / "starter.yaml"
RECORD = ROOT / "benchmarks" / "results" / "direct_latency.json"
GENERALIST = "starter-generalist"
CONCURRENCIES = (1, 4)
AIM = 1.05
MAX_TOKENS = 64
LONG_TOKENS = 128
LONG_SHARE = 8
"""Of so many pairs one is made of long answers too, which take that much longer."""
WARM_UP_PAIRS = 10
SEED = 4


@dataclass(frozen=True, slots=True)
class Way:
    """Where a request goes."""

    url: str
    model: str
    key: str


@dataclass(frozen=True, slots=True)
class Manner:
    """How is asked: streamed or not, and for exactly `LONG_TOKENS` tokens or for what the model has to say."""

    streamed: bool
    long: bool

    @property
    def name(self) -> str:
        """In words."""
        return f"{'streamed' if self.streamed else 'whole'}{f', {LONG_TOKENS} tokens' if self.long else ''}"


@dataclass(frozen=True, slots=True)
class Seconds:
    """One answer: until its first content, and until its end (the same where it is not streamed)."""

    first: float
    whole: float


@dataclass(frozen=True, slots=True)
class Pair:
    """The same question both ways."""

    auto: Seconds
    engine: Seconds


async def measure(running: RunningAppliance, pairs: int) -> dict[str, Any]:
    """Figures by kind of answer and concurrency."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as session:
        auto = Way(running.url, "auto", running.api_key)
        engine = await _engine(session, auto)
        figures = {}
        for long, streamed, concurrency in itertools.product((False, True), (False, True), CONCURRENCIES):
            questions, manner = _questions(), Manner(streamed, long)
            number = max(4, pairs // LONG_SHARE) if long else pairs
            await _pairs(session, (auto, engine), questions, 2 if long else WARM_UP_PAIRS, concurrency, manner)
            measured = await _pairs(session, (auto, engine), questions, number, concurrency, manner)
            figures[f"{manner.name}, {concurrency} at a time"] = summary(measured)
    return figures


def summary(pairs: Sequence[Pair]) -> dict[str, float]:
    """Milliseconds of both ways at P50 and P95, their ratios, and how long answers must take to keep the aim.

    The first content of a starter answer is its last too: working and answer are told apart at the end of the text.
    """
    figures: dict[str, float] = {"pairs": len(pairs)}
    for part, percent in itertools.product(("first", "whole"), (50, 95)):
        auto = percentile([getattr(pair.auto, part) for pair in pairs], percent)
        engine = percentile([getattr(pair.engine, part) for pair in pairs], percent)
        figures |= {
            f"{part}_auto_ms_p{percent}": round(1000 * auto, 2),
            f"{part}_engine_ms_p{percent}": round(1000 * engine, 2),
            f"{part}_ratio_p{percent}": round(auto / engine, 3),
        }
    added_ms = round(1000 * percentile([pair.auto.whole - pair.engine.whole for pair in pairs], 50), 2)
    return figures | {"added_ms_p50": added_ms, "within_aim_from_engine_ms": round(added_ms / (AIM - 1), 1)}


def _questions() -> Iterator[str]:
    """Questions that need no working, over and over, in an order of their own each time."""
    questions = [problem.question for problem in load() if problem.steps == 0]
    shuffled = random.Random(SEED)
    while True:
        shuffled.shuffle(questions)
        yield from questions


async def _pairs(
    session: aiohttp.ClientSession,
    ways: tuple[Way, Way],
    questions: Iterator[str],
    number: int,
    concurrency: int,
    manner: Manner,
) -> list[Pair]:
    """`number` pairs by `concurrency` askers; each asks both ways, one after the other, and begins with the other one
    the next time."""
    numbers, pairs = iter(range(number)), []

    async def asker() -> None:
        for index in numbers:
            question = next(questions)
            first, second = ways if index % 2 else ways[::-1]
            seconds = [await _ask(session, way, question, manner) for way in (first, second)]
            pairs.append(Pair(*(seconds if index % 2 else seconds[::-1])))

    await asyncio.gather(*(asker() for _ in range(concurrency)))
    return pairs


async def _ask(session: aiohttp.ClientSession, way: Way, question: str, manner: Manner) -> Seconds:
    body = {
        "model": way.model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": LONG_TOKENS if manner.long else MAX_TOKENS,
        "temperature": 0,
        "stream": manner.streamed,
    }
    if manner.long:
        body["min_tokens"] = LONG_TOKENS
    headers = {"authorization": f"Bearer {way.key}"}
    started, first = time.perf_counter(), 0.0
    async with session.post(f"{way.url}/v1/chat/completions", json=body, headers=headers) as response:
        response.raise_for_status()
        async for line in response.content:
            if not first and (not manner.streamed or _has_content(line)):
                first = time.perf_counter() - started
    return Seconds(first, time.perf_counter() - started)


def _has_content(line: bytes) -> bool:
    if not line.startswith(b"data: {"):
        return False
    return any(choice["delta"].get("content") for choice in json.loads(line[6:])["choices"])


async def _engine(session: aiohttp.ClientSession, auto: Way) -> Way:
    """The generalist's engine, which tells its key to nobody: it stands in the environment of the process."""
    async with session.get(f"{auto.url}/fleet", headers={"authorization": f"Bearer {auto.key}"}) as response:
        engines = (await response.json())["engines"]
    engine = next(engine for engine in engines if engine["model_id"] == GENERALIST)
    return Way(engine["base_url"], GENERALIST, psutil.Process(engine["pid"]).environ()["VLLM_API_KEY"])


def table_of(figures: dict[str, dict[str, float]]) -> Table:
    """Ratios and milliseconds, one row a run."""
    table = Table(title=f"Easy requests: auto ÷ engine (aim: P50 ≤ {AIM})")
    for heading in ("", "first P50", "whole P50", "whole P95", "auto ms", "engine ms", "added ms", "aim kept from"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, row in figures.items():
        ratios = [row[f"{key}"] for key in ("first_ratio_p50", "whole_ratio_p50", "whole_ratio_p95")]
        milliseconds = [row[key] for key in ("whole_auto_ms_p50", "whole_engine_ms_p50", "added_ms_p50")]
        kept_from = f"{row['within_aim_from_engine_ms']:.0f} ms"
        table.add_row(
            name, *(f"{value:.3f}" for value in ratios), *(f"{value:.1f}" for value in milliseconds), kept_from
        )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the pool, measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--pairs", type=int, default=300, help="for each kind of answer and concurrency")
    parser.add_argument("--record", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    with running_appliance(options.config) as running:
        figures = asyncio.run(measure(running, options.pairs))
    result = {"aim_ratio_p50": AIM, "figures": figures, "machine": machine.describe()}
    options.record.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console(width=120).print(table_of(figures))


if __name__ == "__main__":
    main()
