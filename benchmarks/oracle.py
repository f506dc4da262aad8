"""`appliance bench` beside AIPerf 0.13: the same bytes at the same times, and the means of what both measure.

    python benchmarks/oracle.py                # both places, about ten minutes
    python benchmarks/oracle.py --only mock

Against a mock engine whose times are fixed the tools measure in turn. Against the starter pool (real vLLM behind the
gateway) they measure at the same time, each with half of the load: one after the other, they would be told apart by
what the machine did meanwhile, AIPerf's own processes included. AIPerf lives in an environment of its own below
`.venv-peers/`, made from a hash-locked file the first time (1.2 GB). The figures are recorded in `results/oracle.json`;
exit code 1 where a mean is more than 3% apart.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from appliance.bench.arrivals import poisson  # noqa: E402
from appliance.bench.connection import Target  # noqa: E402
from appliance.bench.dialogue import Dialogue, OpenPhase  # noqa: E402
from appliance.bench.metrics import figures  # noqa: E402
from appliance.bench.mock_engine import MODEL  # noqa: E402
from appliance.bench.processes import Load, drive_apart  # noqa: E402
from appliance.bench.records import RequestRecord  # noqa: E402
from appliance.bench.self_check import mock_engine  # noqa: E402
from benchmarks import machine  # noqa: E402
from benchmarks.relay.contestants import environment  # noqa: E402
from benchmarks.starter.appliance_process import running_appliance  # noqa: E402
from benchmarks.starter.suite import load  # noqa: E402

RECORD: Final = ROOT / "benchmarks" / "results" / "oracle.json"
CONFIG: Final = ROOT / "config" / "starter.yaml"
TOKENIZER: Final = ROOT / "models" / "starter" / "weights" / MODEL
AIM: Final = 0.03
FIRST_S: Final = 0.05
ROUNDS: Final = 3
STARTS_S: Final = 40.0
"""AIPerf sends its first request so long after its start at most."""
SEED: Final = 13
METRICS: Final = {
    "ttft_s": ("time_to_first_token", 0.001),
    "itl_s": ("inter_token_latency", 0.001),
    "request_latency_s": ("request_latency", 0.001),
    "request_throughput_per_s": ("request_throughput", 1.0),
    "output_token_throughput_per_s": ("output_token_throughput", 1.0),
    "output_tokens": ("output_sequence_length", 1.0),
}
"""Ours → AIPerf's name, and what its unit is in ours."""

Means = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Questions:
    """What both ask: one question of the suite after the other, for answers of the same length."""

    texts: tuple[str, ...]
    fields: Mapping[str, Any]

    def dialogue(self, index: int) -> Dialogue:
        """One question."""
        asked = {"role": "user", "content": self.texts[index % len(self.texts)]}
        return Dialogue("direct", MODEL, ((asked,),), fields=self.fields)


@dataclass(frozen=True, slots=True)
class Trial:
    """A load, and who takes it."""

    target: Target
    phase: OpenPhase
    questions: Questions


@dataclass(frozen=True, slots=True)
class Told:
    """What AIPerf says of its run, and the wall-clock seconds of its first and its last request."""

    means: Means
    first_s: float
    last_s: float


def ours(trial: Trial) -> Means:
    """`appliance bench`."""
    return _means(drive_apart(Load(trial.target, (trial.phase,), trial.questions)).records)


def _means(records: Sequence[RequestRecord]) -> Means:
    found = figures(records)
    if found.failed:
        raise SystemExit(f"{found.failed} requests had no answer: {found.errors}")
    # AIPerf's latency ends with the last token, ours with the stream.
    latencies = [r.last_content_s - r.due_s for r in records if r.last_content_s is not None]
    return {
        "ttft_s": found.metrics["ttft"].mean,
        "itl_s": found.metrics["itl"].mean,
        "request_latency_s": sum(latencies) / len(latencies),
        "request_throughput_per_s": found.request_throughput_per_s,
        "output_token_throughput_per_s": found.output_token_throughput_per_s,
        "output_tokens": found.metrics["output_tokens"].mean,
    }


def aiperf(trial: Trial) -> Told:
    """AIPerf, with the requests' own bytes as a schedule."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        rows = (
            {"timestamp": 1000 * due_s, "payload": json.loads(dialogue.body(dialogue.turns[0]))}
            for index, due_s in enumerate(trial.phase.dues_s)
            if (dialogue := trial.questions.dialogue(index))
        )
        (place / "load.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        argv = [str(environment("aiperf") / "bin" / "aiperf"), "profile", "--model", MODEL, "--url", trial.target.url]
        argv += ["--endpoint-type", "chat", "--streaming", "--ui", "none", "--tokenizer", str(TOKENIZER)]
        argv += ["--input-file", str(place / "load.jsonl"), "--custom-dataset-type", "mooncake_trace"]
        argv += ["--fixed-schedule", "--use-server-token-count", "--output-artifact-dir", str(place / "out")]
        argv += ["--workers-max", "1", "--record-processors", "1"]
        if trial.target.api_key:
            argv += ["--api-key", trial.target.api_key]
        done = subprocess.run(argv, cwd=place, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"aiperf ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        told = json.loads((place / "out" / "profile_export_aiperf.json").read_text(encoding="utf-8"))
        lines = (place / "out" / "profile_export.jsonl").read_text(encoding="utf-8").splitlines()
    if told["request_count"]["avg"] != len(trial.phase.dues_s):
        raise SystemExit(f"aiperf sent {told['request_count']['avg']:g} of {len(trial.phase.dues_s)} requests")
    starts_s = [json.loads(line)["metadata"]["request_start_ns"] / 1e9 for line in lines]
    means = {name: told[theirs]["avg"] * scale for name, (theirs, scale) in METRICS.items()}
    return Told(means, min(starts_s), max(starts_s))


def in_turn(trial: Trial) -> tuple[Means, Means]:
    """Ours, then AIPerf's."""
    return ours(trial), aiperf(trial).means


def at_once(trial: Trial) -> tuple[Means, Means]:
    """Ours and AIPerf's, both at work: of our requests, those that were due while AIPerf sent its own."""
    per_s, lasts_s = len(trial.phase.dues_s) / trial.phase.ends_s, trial.phase.ends_s + STARTS_S
    around = OpenPhase("around", 0.0, lasts_s, jittered(per_s, lasts_s, seed=SEED + 1))
    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(aiperf, trial)
        driven = drive_apart(Load(trial.target, (around,), trial.questions))
        told = telling.result()
    begins_s = time.time() - time.monotonic() + driven.begins_s
    if not begins_s <= told.first_s <= told.last_s <= begins_s + lasts_s:
        raise SystemExit(f"aiperf was not at work within {lasts_s:g} s of its start; nothing was recorded")
    return _means([r for r in driven.records if told.first_s <= begins_s + r.due_s <= told.last_s]), told.means


def jittered(per_s: float, duration_s: float, *, seed: int) -> tuple[float, ...]:
    """One request in each interval of `1 / per_s` seconds, at random within it: the same number in any window."""
    random_ = random.Random(seed)
    return tuple((index + random_.random()) / per_s for index in range(int(per_s * duration_s)))


def measured(trial: Trial, both: Callable[[Trial], tuple[Means, Means]]) -> dict[str, Any]:
    """Both tools; how far their means are apart, and how far each is from itself."""
    found = [both(trial) for _ in range(ROUNDS)]
    rows = {name: _row([mine[name] for mine, _ in found], [theirs[name] for _, theirs in found]) for name in METRICS}
    return {"requests": len(trial.phase.dues_s), "metrics": rows}


def _row(ours_: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    ratio = sum(ours_) / sum(theirs)
    return {
        "ours": [round(value, 6) for value in ours_],
        "aiperf": [round(value, 6) for value in theirs],
        "ratio": round(ratio, 4),
        "within_3_percent": abs(ratio - 1) <= AIM,
        "spread_ours": round(max(ours_) / min(ours_) - 1, 4),
        "spread_aiperf": round(max(theirs) / min(theirs) - 1, 4),
    }


def on_the_mock() -> dict[str, Any]:
    """Streams of 32 tokens, 50 a second, after a wait."""
    with mock_engine(FIRST_S) as url:
        phase = OpenPhase("mock", 0.0, 20.0, poisson(10, 10, 20, seed=SEED))
        found = measured(Trial(Target(url), phase, Questions(("tick",), {"max_tokens": 32, "seed": 50})), in_turn)
    # What the mock does, so that the two are not only held against each other.
    return {**found, "true": {"ttft_s": FIRST_S, "itl_s": 1 / 50, "request_latency_s": FIRST_S + 31 / 50}}


def on_the_pool() -> dict[str, Any]:
    """The generalist by its name, on the gateway's fast path."""
    texts = tuple(problem.question for problem in load() if problem.steps == 0)
    fields = {"max_tokens": 64, "min_tokens": 64, "temperature": 0}
    with running_appliance(CONFIG) as running:
        phase = OpenPhase("pool", 0.0, 80.0, jittered(1.25, 80, seed=SEED))
        return measured(Trial(Target(running.url, running.api_key), phase, Questions(texts, fields)), at_once)


def table_of(place: str, found: Mapping[str, Any]) -> Table:
    """One row a metric."""
    table = Table(title=f"{place}: appliance bench ÷ AIPerf, {found['requests']} requests, means of {ROUNDS} runs each")
    for heading in ("", "ours", "AIPerf", "ratio", "ours again", "AIPerf again", ""):
        table.add_column(heading, justify="right")
    for name, row in found["metrics"].items():
        means = (sum(row[tool]) / ROUNDS for tool in ("ours", "aiperf"))
        spreads = (f"±{100 * row[spread]:.1f}%" for spread in ("spread_ours", "spread_aiperf"))
        mark = "✓" if row["within_3_percent"] else "✗"
        table.add_row(name, *(f"{mean:.5g}" for mean in means), f"{row['ratio']:.3f}", *spreads, mark)
    return table


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("mock", "pool"))
    parser.add_argument("--record", type=Path, default=RECORD)
    said = parser.parse_args()
    found = json.loads(said.record.read_text(encoding="utf-8")) if said.only and said.record.exists() else {}
    places = {"mock": on_the_mock, "pool": on_the_pool}
    for name in [said.only] if said.only else places:
        busy = os.getloadavg()[0]
        found[name] = {"load_average_before": round(busy, 1), **places[name](), "machine": machine.describe()}
        Console(width=120).print(table_of(name, found[name]))
    document = {"aim": AIM, "aiperf": "0.13.0", **found}
    said.record.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if not all(row["within_3_percent"] for name in places if name in found for row in found[name]["metrics"].values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
