"""What the gateway adds to a call, beside other gateways in front of the same mock engine.

`python benchmarks/gateway.py --peers` pins one worker of each gateway to one core, the mock engine and the load
generator to another, measures them in turn, round after round, so that other work on the machine meets all alike, and
prints ratios with their spread. Results and machine go to `results/gateway.json`. Without `--peers` only the appliance
is measured, against the engine itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))  # it may be started as a file

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.relay.contestants import AUDITED, DIRECT, LITELLM, OURS, ROUTER, Running, gateways, mock_engine
from benchmarks.relay.load import Target, closed, opened, percentile, streamed

RECORD: Final = Path(__file__).parent / "results" / "gateway.json"
CLIENTS: Final = 32
STREAMS: Final = 64
STREAM_TOKENS: Final = 300
STREAM_RATE: Final = 300
OPEN_SHARE: Final = 0.7
"""Of what the slowest of the fast gateways can take: the rate at which all are asked for their latencies."""
SINGLE_RATE: Final = 100.0
MANY: Final = 1_000
MANY_RATE: Final = 20

T = TypeVar("T")


@dataclass(slots=True)
class Row:
    """What was measured of one target, a figure for each round."""

    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **figures: float) -> None:
        """One round's figures."""
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """Over the rounds."""
        return statistics.median(self.figures[name])

    def spread(self, name: str) -> tuple[float, float]:
        """Smallest and largest."""
        return min(self.figures[name]), max(self.figures[name])


class Bench:
    """All measurements over the running gateways."""

    def __init__(self, direct: Target, running: dict[str, Running], seconds: float) -> None:
        self.targets = {DIRECT: direct, **{name: one.target for name, one in running.items()}}
        self.rows = {name: Row() for name in self.targets}
        self._running = running
        self._seconds = seconds
        for name, target in self.targets.items():
            _run(opened(target, 5.0 if name == LITELLM else 50.0, 2, 3.0))  # what is imported at the first request

    def measure(self, rounds: int) -> None:
        """Every measurement in each round, the targets in turn."""
        for number in range(rounds):
            order = list(self.targets) if number % 2 == 0 else list(self.targets)[::-1]
            for name in order:
                self._throughput(name)
            fast = [name for name in self.targets if name not in (DIRECT, LITELLM, AUDITED)]
            rate = OPEN_SHARE * min(self.rows[name].figures["per_s"][-1] for name in fast)
            for name in order:
                own = rate if name != LITELLM else OPEN_SHARE * self.rows[name].figures["per_s"][-1]
                self._latencies(name, own)
            for name in order:
                if name != LITELLM:  # it breaks streams when 64 of them are asked for at this rate
                    self._streams(name)
            print(f"round {number + 1} of {rounds} is over", file=sys.stderr)

    def _throughput(self, name: str) -> None:
        seconds = self._seconds if name != LITELLM else 4 * self._seconds
        found, cpu_s = self._with_cpu(name, closed(self.targets[name], CLIENTS, seconds))
        answers = len(found.seconds)
        self.rows[name].add(per_s=found.per_s, closed_p50_ms=1e3 * found.at(50), closed_p99_ms=1e3 * found.at(99))
        if cpu_s is not None:
            self.rows[name].add(cpu_us_per_request=1e6 * cpu_s / answers)

    def _latencies(self, name: str, rate: float) -> None:
        busy = _run(opened(self.targets[name], rate, CLIENTS, self._seconds))
        single = _run(opened(self.targets[name], min(SINGLE_RATE, rate / 2), 1, self._seconds))
        self.rows[name].add(
            open_rate=rate,
            open_p50_ms=1e3 * busy.at(50),
            open_p99_ms=1e3 * busy.at(99),
            single_p50_ms=1e3 * single.at(50),
            lag_p50_ms=1e3 * percentile(busy.lags, 50),
            lag_p99_ms=1e3 * percentile(busy.lags, 99),
        )

    def _streams(self, name: str) -> None:
        tokens = STREAM_TOKENS
        work = streamed(self.targets[name], STREAMS, tokens, STREAM_RATE, spread_s=0.5)
        found, cpu_s = self._with_cpu(name, work)
        self.rows[name].add(
            chunks_per_s=found.chunks / (found.wall_s - 0.5),
            first_p50_ms=1e3 * percentile(found.first_s, 50),
            first_p99_ms=1e3 * percentile(found.first_s, 99),
            longest_gap_ms=1e3 * found.longest_gap_s,
            wrong_chunks=found.wrong,
        )
        if cpu_s is not None:
            self.rows[name].add(cpu_us_per_chunk=1e6 * cpu_s / max(1, found.chunks))

    def many_streams(self, seconds: float) -> dict[str, float]:
        """1,000 streams at once through the appliance: nothing lost, doubled or out of order?"""
        tokens = int(seconds * MANY_RATE)
        work = streamed(self.targets[OURS], MANY, tokens, MANY_RATE, spread_s=1.0)
        found, cpu_s = self._with_cpu(OURS, work)
        assert cpu_s is not None
        return {
            "streams": MANY,
            "tokens_per_stream": tokens,
            "chunks_expected": MANY * tokens,
            "chunks": found.chunks,
            "wrong": found.wrong,
            "wall_s": round(found.wall_s, 2),
            "ideal_wall_s": 1.0 + tokens / MANY_RATE,
            "longest_gap_ms": round(1e3 * found.longest_gap_s, 1),
            "cpu_us_per_chunk": round(1e6 * cpu_s / max(1, found.chunks), 1),
        }

    def _with_cpu(self, name: str, work: Coroutine[Any, Any, T]) -> tuple[T, float | None]:
        running = self._running.get(name)
        before_s = running.cpu_s() if running is not None else 0.0
        found = _run(work)
        return found, running.cpu_s() - before_s if running is not None else None


def _run(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)


def ratios(rows: dict[str, Row], ours: str, other: str, figure: Callable[[Row, int], float]) -> dict[str, float]:
    """Ours over the other's, round by round: median, smallest and largest."""
    rounds = range(len(next(iter(rows[ours].figures.values()))))
    found = [figure(rows[ours], number) / figure(rows[other], number) for number in rounds]
    return {
        "median": round(statistics.median(found), 4),
        "least": round(min(found), 4),
        "most": round(max(found), 4),
    }


def verdicts(rows: dict[str, Row]) -> dict[str, Any]:
    """The figures that are to be reached, as ratios within each round."""

    def of(name: str) -> Callable[[Row, int], float]:
        return lambda row, number: row.figures[name][number]

    def added(name: str) -> Callable[[Row, int], float]:
        return lambda row, number: max(1e-6, row.figures[name][number] - rows[DIRECT].figures[name][number])

    found: dict[str, Any] = {
        "req/s ÷ direct": ratios(rows, OURS, DIRECT, of("per_s")),
        "req/s audited ÷ not": ratios(rows, AUDITED, OURS, of("per_s")),
        "chunk rate ÷ direct": ratios(rows, OURS, DIRECT, of("chunks_per_s")),
        "CPU µs per chunk": round(rows[OURS].median("cpu_us_per_chunk"), 1),
        "added TTFT p50, ms": round(rows[OURS].median("first_p50_ms") - rows[DIRECT].median("first_p50_ms"), 3),
    }
    if ROUTER in rows:
        found |= {
            "req/s ÷ vllm-router": ratios(rows, OURS, ROUTER, of("per_s")),
            "added p50 c=1 ÷ vllm-router": ratios(rows, OURS, ROUTER, added("single_p50_ms")),
            "p99 c=32 closed ÷ vllm-router": ratios(rows, OURS, ROUTER, of("closed_p99_ms")),
            "p99 c=32 open ÷ vllm-router": ratios(rows, OURS, ROUTER, of("open_p99_ms")),
            "CPU per request ÷ vllm-router": ratios(rows, OURS, ROUTER, of("cpu_us_per_request")),
            "CPU per chunk ÷ vllm-router": ratios(rows, OURS, ROUTER, of("cpu_us_per_chunk")),
        }
    if LITELLM in rows:
        found["req/s ÷ LiteLLM"] = ratios(rows, OURS, LITELLM, of("per_s"))
    return found


_COLUMNS: Final = (
    ("req/s c32", "per_s", "{:,.0f}"),
    ("p50 ms", "closed_p50_ms", "{:.2f}"),
    ("p99 ms", "closed_p99_ms", "{:.2f}"),
    ("open p99 ms", "open_p99_ms", "{:.2f}"),
    ("c1 p50 ms", "single_p50_ms", "{:.3f}"),
    ("µs/request", "cpu_us_per_request", "{:.0f}"),
    ("chunks/s c64", "chunks_per_s", "{:,.0f}"),
    ("TTFT p50 ms", "first_p50_ms", "{:.2f}"),
    ("µs/chunk", "cpu_us_per_chunk", "{:.1f}"),
)


def table_of(rows: dict[str, Row]) -> Table:
    """Medians, one row a target."""
    table = Table(title="One worker on one core, medians over the rounds")
    for heading in ("", *(heading for heading, _, _ in _COLUMNS)):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in rows.items():
        table.add_row(name, *(form.format(row.median(key)) if key in row.figures else "" for _, key, form in _COLUMNS))
    return table


def verdict_table(found: dict[str, Any]) -> Table:
    """Each ratio with its spread over the rounds."""
    table = Table(title="Side by side")
    for heading in ("", "median", "least", "most"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, value in found.items():
        if isinstance(value, dict):
            table.add_row(name, *(f"{value[part]:.3f}" for part in ("median", "least", "most")))
        else:
            table.add_row(name, str(value))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the gateways, measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    peers = (ROUTER, LITELLM)
    parser.add_argument("--peers", nargs="*", choices=peers, help="beside other gateways: these, or all that there are")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--many-seconds", type=float, default=10.0, help="of the 1,000 streams; 0 leaves them out")
    parser.add_argument("--record", type=Path, default=RECORD)
    options = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    shared, apart = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    if shared is not None:
        os.sched_setaffinity(0, {shared})
    names = (OURS, AUDITED, *(() if options.peers is None else options.peers or peers))
    with (
        tempfile.TemporaryDirectory() as scratch,
        mock_engine(shared) as engine,
        gateways(names, engine, Path(scratch), apart) as running,
    ):
        bench = Bench(Target(DIRECT, engine, "none"), running, options.seconds)
        bench.measure(options.rounds)
        many = bench.many_streams(options.many_seconds) if options.many_seconds else {}
    found = verdicts(bench.rows)
    rounds = {name: {key: [round(v, 4) for v in values] for key, values in row.figures.items()}
              for name, row in bench.rows.items()}  # fmt: skip
    result = {"verdicts": found, "many_streams": many, "rounds": rounds, "machine": machine.describe()}
    options.record.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console = Console(width=140)
    console.print(table_of(bench.rows))
    console.print(verdict_table(found | ({"1,000 streams": f"{many}"} if many else {})))


if __name__ == "__main__":
    main()
