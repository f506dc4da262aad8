"""What the load generator itself can do and adds, against a mock engine whose times are known.

The mock notes on the same clock when each stream was asked for and when its first chunk was written. What of a
measured TTFT does not lie between these two is the generator's bias: being late, sending, the way there and back, and
reading.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from appliance.bench import machine
from appliance.bench.arrivals import constant
from appliance.bench.connection import Target
from appliance.bench.dialogue import Dialogue, OpenPhase
from appliance.bench.processes import Load, drive_apart
from appliance.bench.records import RequestRecord
from appliance.errors import NotMeasured

REQUIRED_CHUNKS_S: Final = 20_000
MOST_BIAS_S: Final = 0.0003
"""Of the median TTFT, at the required rate."""
RATES: Final = (5_000, 10_000, 20_000, 40_000, 80_000)
"""Chunks a second, tried in this order until one is too much."""
STREAM_RATE: Final = 50
"""Chunks a second of one stream."""
STREAM_TOKENS: Final = 50
ROUNDS: Final = 3
"""Of the required rate; the one in the middle counts, since a machine that others use too is not always quiet."""
_WARM_UP_S, _MEASURED_S = 1.5, 2.0
_FIRST_S: Final = 0.02
_KEPT_S: Final = 24 * 3_600
_LEAST_SHARE: Final = 0.97
"""Less of the wanted rate than this is not that rate."""


@dataclass(frozen=True, slots=True)
class Reading:
    """At one rate: chunks a second that came, the bias of the median and of the 99th percentile of TTFT."""

    wanted_chunks_s: float
    chunks_s: float
    ttft_bias_p50_s: float
    ttft_bias_p99_s: float

    @property
    def holds(self) -> bool:
        """Whether this rate can be measured at."""
        return self.ttft_bias_p50_s <= MOST_BIAS_S and self.chunks_s >= _LEAST_SHARE * self.wanted_chunks_s


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """All rates that were tried, with so many processes."""

    processes: int
    readings: tuple[Reading, ...]
    made_unix_s: float

    @property
    def required(self) -> Reading:
        """At the rate that has to be managed."""
        return next(reading for reading in self.readings if reading.wanted_chunks_s == REQUIRED_CHUNKS_S)

    @property
    def highest_chunks_s(self) -> float:
        """The highest rate that holds; 0 where none does."""
        return max((reading.chunks_s for reading in self.readings if reading.holds), default=0.0)

    @property
    def problem(self) -> str:
        """Why nothing should be reported that was measured like this, and the way out; empty where all is well."""
        found = self.required
        if found.holds:
            return ""
        return (
            f"the load generator can't be trusted here: with {self.processes} process(es) it took in "
            f"{found.chunks_s:,.0f} of {REQUIRED_CHUNKS_S:,} chunks a second with a TTFT bias of "
            f"{found.ttft_bias_p50_s * 1000:.2f} ms (at most {MOST_BIAS_S * 1000:g} ms); give it more --processes, so "
            "that each has fewer streams, or a machine with free cores, and try `appliance bench self-check` again"
        )

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "processes": self.processes,
            "highest_chunks_s": round(self.highest_chunks_s),
            "ttft_bias_p50_s": round(self.required.ttft_bias_p50_s, 6),
            "readings": [asdict(reading) for reading in self.readings],
            "made_unix_s": self.made_unix_s,
        }


def check(processes: int) -> SelfCheck:
    """Measure; about 20 seconds. Raises NotMeasured where the mock or a process of the generator fails."""
    readings = []
    for rate in RATES:
        rounds = [_reading(rate, processes) for _ in range(ROUNDS if rate == REQUIRED_CHUNKS_S else 1)]
        readings.append(sorted(rounds, key=lambda reading: reading.ttft_bias_p50_s)[len(rounds) // 2])
        if rate >= REQUIRED_CHUNKS_S and not readings[-1].holds:
            break
    return SelfCheck(processes, tuple(readings), time.time())


def kept(file: Path, processes: int) -> SelfCheck:
    """The check of this machine and so many processes, made now where there is none of today."""
    facts = _facts(processes)
    if (found := _read(file, facts)) is not None:
        return found
    made = check(processes)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"facts": facts, **made.as_document()}, indent=1) + "\n", encoding="utf-8")
    return made


def _facts(processes: int) -> dict[str, Any]:
    """What a check holds for."""
    about = machine.describe()
    return {name: about[name] for name in ("processor", "cores", "python", "appliance")} | {"processes": processes}


def _read(file: Path, facts: Mapping[str, Any]) -> SelfCheck | None:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        readings = tuple(Reading(**reading) for reading in document["readings"])
        found = SelfCheck(document["processes"], readings, document["made_unix_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none, or one of another version: it is made anew
    current = document.get("facts") == facts and time.time() - found.made_unix_s < _KEPT_S
    return found if current and not found.problem else None


@dataclass(frozen=True, slots=True)
class _Ticking:
    """Streams of the same length and rate."""

    def dialogue(self, index: int) -> Dialogue:
        fields = {"max_tokens": STREAM_TOKENS, "seed": STREAM_RATE}
        return Dialogue("ticking", "mock", (({"role": "user", "content": f"tick {index}"},),), fields=fields)


def _reading(chunks_s: float, processes: int) -> Reading:
    streams_s, ends_s = chunks_s / STREAM_TOKENS, _WARM_UP_S + _MEASURED_S
    phase = OpenPhase("ticking", 0.0, ends_s, constant(streams_s, streams_s, ends_s))
    with mock_engine(_FIRST_S) as url:
        load = Load(Target(url), (phase,), _Ticking(), run_id="check")
        records = drive_apart(load, processes=processes)
        with urllib.request.urlopen(f"{url}/stamps", timeout=10) as reply:  # noqa: S310 (a loopback address of our own)
            stamps = json.load(reply)
    return reading_of(records.records, records.begins_s, stamps, chunks_s)


def reading_of(
    records: Sequence[RequestRecord], begins_s: float, stamps: Mapping[str, Sequence[float]], wanted_chunks_s: float
) -> Reading:
    """What the records of a check say, beside the mock's own times."""
    failed = [record for record in records if not record.ok]
    if failed:
        raise NotMeasured(f"the self-check's own mock did not answer {len(failed)} streams: {failed[0].error}")
    biases, arrived = [], 0
    for record in records:
        assert record.first_content_s is not None
        times_s = record.first_content_s + np.cumsum([0.0, *record.gaps_s])
        arrived += int(np.count_nonzero((times_s >= _WARM_UP_S) & (times_s < _WARM_UP_S + _MEASURED_S)))
        if record.due_s >= _WARM_UP_S:
            asked_s, written_s = stamps[record.request_id]
            measured_s = record.first_content_s - record.due_s
            biases.append(measured_s - (written_s - asked_s))
    return Reading(wanted_chunks_s, arrived / _MEASURED_S, median(biases), float(np.percentile(biases, 99)))


@contextmanager
def mock_engine(first_s: float = 0.0) -> Iterator[str]:
    """The mock as a process of its own; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    argv = [sys.executable, "-m", "appliance.bench.mock_engine", "--port", str(port), "--first-s", str(first_s)]
    argv.append("--punctual")
    process = subprocess.Popen(argv)
    url = f"http://127.0.0.1:{port}"
    try:
        _until_up(url, process)
        yield url
    finally:
        process.terminate()
        process.wait()


def _until_up(url: str, process: subprocess.Popen[bytes]) -> None:
    ends_s = time.monotonic() + 30
    while time.monotonic() < ends_s and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 (a loopback address of our own)
                return
        except OSError:
            time.sleep(0.05)
    raise NotMeasured("the mock engine of the self-check did not start; its message stands above")
