"""How far the simulator is off: real vLLM on the CPU with the starter pool, under loads that it was not fitted on.

1. `profile`: single requests one by one, whose traces are the request trees, then `appliance capacity profile`.
2. `measure`: the same questions under loads: direct, orchestrated and mixed, several rates up to beyond the knee, each
   twice, in mixed order.
3. `report`: the simulator is given what was sent when (questions and due times) and asked for throughput, latencies and
   the highest rate under an SLO. Beside each error stands how far the two measurements are from each other.

A machine that others use, too, is not as fast at one time as at another. So a few questions are asked one by one when
the profile is made, and again before and after each load: all times of the profile are taken that much longer or
shorter for the load. The errors without that are reported as well.

Stages keep what they found below `--work`, so each can be run by itself on a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any, Final

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))

from appliance.bench.connection import Target  # noqa: E402
from appliance.bench.dialogue import ClosedPhase, Dialogue, OpenPhase  # noqa: E402
from appliance.bench.driver import Limits, drive  # noqa: E402
from appliance.bench.records import RequestRecord  # noqa: E402
from appliance.bootstrap.data_dir import read_running  # noqa: E402
from appliance.capacity.engine_profile import EngineProfile, StepCost  # noqa: E402
from appliance.capacity.outcome import percentile  # noqa: E402
from appliance.capacity.profile import Profile  # noqa: E402
from appliance.capacity.profile_file import load_profile  # noqa: E402
from appliance.capacity.setup import Arrival, EnginePlace, Setup  # noqa: E402
from appliance.capacity.simulator import simulate  # noqa: E402
from appliance.capacity.trees import TreeSample  # noqa: E402
from appliance.config import load as settings_of  # noqa: E402
from appliance.domain.strategy import PASSTHROUGH, PLAN_EXECUTE_VERIFY  # noqa: E402
from benchmarks import machine  # noqa: E402
from benchmarks.starter import suite  # noqa: E402
from benchmarks.starter.appliance_process import running_appliance  # noqa: E402

CONFIG: Final = ROOT / "config" / "starter.yaml"
WORK: Final = ROOT / "var" / "validate-capacity"
RESULTS: Final = ROOT / "benchmarks" / "results" / "validate-capacity.json"

STAGES: Final = ("profile", "measure", "report")
QUESTIONS: Final = 60
MODEL: Final = "starter-generalist"
TRAFFIC: Final = {
    "direct": {PASSTHROUGH: 1.0},
    "orchestrated": {PLAN_EXECUTE_VERIFY: 1.0},
    "mixed": {PASSTHROUGH: 0.7, PLAN_EXECUTE_VERIFY: 0.3},
}
LOADS: Final = (0.3, 0.6, 0.8, 1.0, 1.25)
"""Rates, in parts of the highest one that the simulator thinks the SLO allows."""
BELOW: Final = 0.9
"""Errors of latencies are judged up to this part; beyond it a queue grows with each percent of rate."""
REPEATS: Final = 2
SECONDS: Final = 14.0
PROBES: Final = 4
"""Questions of each class that are asked one by one to see how fast the machine is now."""
SLO_FACTOR: Final = 2.5
"""The SLO: P95 of at most so many times the longest tenth of single requests."""
WANTED: Final = {"throughput": 0.03, "e2e_mean": 0.05, "e2e_p99": 0.09, "ttft_mean": 0.10, "knee": 0.10}


@dataclass(frozen=True, slots=True)
class Door:
    """Where the appliance listens."""

    url: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Load:
    """One load: what is sent when. `draws` are (due second, class of traffic, number of the question)."""

    traffic: str
    part: float
    rate: float
    draws: tuple[tuple[float, str, int], ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run of a load. Seconds; throughput is of answered requests, until the last answer."""

    throughput: float
    e2e_mean: float
    e2e_p95: float
    e2e_p99: float
    ttft_mean: float
    failed: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Dialogues by number: question and class of traffic."""

    draws: Sequence[tuple[str, int]]

    def dialogue(self, index: int) -> Dialogue:
        """The one of this number."""
        traffic, number = self.draws[index % len(self.draws)]
        message = {"role": "user", "content": questions()[number]}
        if traffic == PASSTHROUGH:
            return Dialogue(traffic, MODEL, ((message,),), fields={"temperature": 0})
        return Dialogue(traffic, "auto", ((message,),), True, {"strategy": traffic})


def questions() -> tuple[str, ...]:
    """In turn from all numbers of steps."""
    return tuple(problem.question for problem in suite.spread(suite.load(), QUESTIONS))


def figures(times: Sequence[tuple[float, float, float]], failed: int) -> Figures:
    """From (due, first token, end) of each answered request."""
    if not times:
        return Figures(0.0, 0.0, 0.0, 0.0, 0.0, failed)
    whole = sorted(end - due for due, _, end in times)
    seconds = max(end for _, _, end in times) - min(due for due, _, _ in times)
    ttft = mean(first - due for due, first, _ in times)
    return Figures(len(times) / seconds, mean(whole), percentile(whole, 95), percentile(whole, 99), ttft, failed)


def of_records(records: Sequence[RequestRecord]) -> Figures:
    """As measured."""
    answered = [r for r in records if r.ok]
    times = [(r.due_s, r.due_s + (r.e2e_s if r.ttft_s is None else r.ttft_s), r.ended_s) for r in answered]
    return figures(times, len(records) - len(answered))


def setup_of(profile: Profile) -> Setup:
    """All engines and the coordinator on one machine."""
    places = tuple(EnginePlace(engine.model_id, engine, "cpu") for engine in profile.engines)
    return Setup(places, coordinator="cpu", coordinator_share=profile.engines[0].server_share)


def slowed(profile: Profile, factor: float) -> Profile:
    """With all times so many times as long, as on a machine that is that much slower."""

    def engine(each: EngineProfile) -> EngineProfile:
        costs = {name: factor * value for name, value in asdict(each.step).items() if name != "band"}
        step = StepCost(**costs, band=each.step.band)
        return replace(each, step=step, call_s=factor * each.call_s, server_s=factor * each.server_s)

    def tree(each: TreeSample) -> TreeSample:
        calls = tuple(replace(call, after_s=factor * call.after_s) for call in each.calls)
        return replace(each, calls=calls, last_s=factor * each.last_s)

    trees = {kind: tuple(map(tree, found)) for kind, found in profile.trees.items()}
    return replace(profile, engines=tuple(map(engine, profile.engines)), trees=trees)


def predicted(profile: Profile, load: Load, slower: float = 1.0) -> Figures:
    """As simulated, with the trees of the questions that are asked, on a machine that is so much slower."""
    draws = load.draws
    profile = profile if slower == 1.0 else slowed(profile, slower)
    outcome = simulate(setup_of(profile), (Arrival(at, kind, profile.trees_of(kind)[n]) for at, kind, n in draws))
    times = [(r.at_s, r.first_s or 0.0, r.ended_s) for r in outcome.requests if r.ended_s is not None]
    return figures(times, outcome.failed())


def load_of(traffic: str, part: float, rate: float, seconds: float, seed: int) -> Load:
    """A Poisson process."""
    draw, at, draws = random.Random(seed), 0.0, []
    mix = TRAFFIC[traffic]
    while (at := at + draw.expovariate(rate)) < seconds:
        kind = draw.choices(list(mix), list(mix.values()))[0]
        draws.append((at, kind, draw.randrange(QUESTIONS)))
    return Load(traffic, part, rate, tuple(draws))


def slo_of(profile: Profile, traffic: str) -> float:
    """Seconds for the P95."""
    alone = [
        end - due for kind in TRAFFIC[traffic] for n in range(QUESTIONS) for due, end in [_alone(profile, kind, n)]
    ]
    return SLO_FACTOR * percentile(sorted(alone), 90)


def _alone(profile: Profile, kind: str, number: int) -> tuple[float, float]:
    (request,) = simulate(setup_of(profile), [Arrival(0.0, kind, profile.trees_of(kind)[number])]).requests
    return 0.0, request.ended_s or 0.0


def knee_of(profile: Profile, traffic: str, slo_s: float, seconds: float) -> float:
    """The highest rate whose P95 is under the SLO, as the simulator sees it: the median of several seeds."""
    return sorted(_knee(profile, traffic, slo_s, seconds, seed) for seed in range(9))[4]


def _knee(profile: Profile, traffic: str, slo_s: float, seconds: float, seed: int) -> float:
    low, high = 0.05, 200.0
    while high / low > 1.02:
        middle = (low * high) ** 0.5
        found = predicted(profile, load_of(traffic, 1.0, middle, seconds, seed))
        low, high = (middle, high) if found.failed == 0 and found.e2e_p95 <= slo_s else (low, middle)
    return low


def probe_s(target: Target) -> float:
    """Seconds that the questions take which tell how fast the machine is."""
    took_s = 0.0
    for n in range(PROBES):
        for kind in (PASSTHROUGH, PLAN_EXECUTE_VERIFY):
            (record,) = asyncio.run(drive(target, [OpenPhase("probe", 0.0, 0.0, (0.0,))], Asked([(kind, n)])))
            if not record.ok:
                raise SystemExit(f"question {n} was not answered: {record.error}")
            took_s += record.e2e_s
    return took_s


def stage_profile(running: Door, work: Path, effort: Sequence[str]) -> None:
    """Single requests, then the profile."""
    target = Target(running.url, running.api_key)
    probe_s(target)  # warms up
    probes = [probe_s(target)]
    for kind in (PASSTHROUGH, PLAN_EXECUTE_VERIFY):
        for n in range(QUESTIONS):
            (record,) = asyncio.run(drive(target, [OpenPhase("one", 0.0, 0.0, (0.0,))], Asked([(kind, n)])))
            if not record.ok:
                raise SystemExit(f"question {n} was not answered: {record.error}")
    command = ["appliance", "capacity", "profile", "--url", running.url, "--out", str(work / "profile.json")]
    traces = ["--traces", str(2 * QUESTIONS)]
    key = work / "key"
    key.touch(0o600)
    key.write_text(running.api_key, encoding="utf-8")
    try:
        subprocess.run(
            [sys.executable, "-m", *command, "--config", str(CONFIG), "--key-file", str(key), *traces, *effort],
            check=True,
        )
    finally:
        key.unlink()
    probes.append(probe_s(target))
    (work / "probes.json").write_text(json.dumps(probes), encoding="utf-8")


def profile_of(work: Path) -> Profile:
    """The profile, with the tree of question n at place n. Traces come newest first."""
    found = load_profile(work / "profile.json")
    trees = {kind: tuple(reversed(each)) for kind, each in found.trees.items()}
    for kind in (PASSTHROUGH, PLAN_EXECUTE_VERIFY):
        if len(trees.get(kind, ())) != QUESTIONS:
            raise SystemExit(f"{len(trees.get(kind, ()))} trees of {kind} instead of {QUESTIONS}; profile again")
    return Profile(found.engines, trees, found.made_of, found.made_unix_s)


def stage_measure(running: Door, work: Path, traffics: Sequence[str], seconds: float) -> None:
    """All loads, in mixed order; the file has what is done so far."""
    profile, target = profile_of(work), Target(running.url, running.api_key)
    asyncio.run(
        drive(
            target, [ClosedPhase("warm-up", 0.0, 5.0, 2)], Asked([(k, n) for n in range(9) for k in TRAFFIC["mixed"]])
        )
    )
    loads = []
    for traffic in traffics:
        slo_s = slo_of(profile, traffic)
        knee = knee_of(profile, traffic, slo_s, seconds)
        print(f"{traffic}: SLO P95 {slo_s:.2f} s, predicted knee {knee:.2f} requests/s", flush=True)
        loads += [load_of(traffic, part, part * knee, seconds, 200 + n) for n, part in enumerate(LOADS)]
    order = [load for load in loads for _ in range(REPEATS)]
    random.Random(7).shuffle(order)
    usual_s = mean(json.loads((work / "probes.json").read_text(encoding="utf-8")))
    before_s = probe_s(target)
    for number, load in enumerate(order, 1):
        phase = OpenPhase("load", 0.0, seconds, tuple(at for at, _, _ in load.draws))
        asked = Asked([(kind, n) for _, kind, n in load.draws])
        records = asyncio.run(drive(target, [phase], asked, limits=Limits(120.0, 90.0)))
        after_s = probe_s(target)
        slower = (before_s + after_s) / 2 / usual_s
        before_s = after_s
        row = {"load": asdict(load), "measured": asdict(of_records(records)), "seconds": seconds, "slower": slower}
        with (work / f"measured-{load.traffic}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        found = of_records(records)
        print(
            f"{number}/{len(order)} {load.traffic} {load.rate:.2f}/s: E2E {found.e2e_mean:.3f} s, "
            f"simulated {predicted(profile, load, slower).e2e_mean:.3f} s, the machine {slower:.2f} times as slow",
            flush=True,
        )


def stage_report(work: Path) -> dict[str, Any]:
    """The table's figures."""
    profile, found = profile_of(work), {}
    for traffic in TRAFFIC:
        path = work / f"measured-{traffic}.jsonl"
        if path.exists():
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            found[traffic] = compared(profile, traffic, rows)
    return found


def compared(profile: Profile, traffic: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One class of traffic: each rate, and the knee."""
    points = []
    for part in LOADS:
        of_part = [row for row in rows if row["load"]["part"] == part]
        if not of_part:
            continue
        said = of_part[0]["load"]
        load = Load(traffic, part, said["rate"], tuple((at, kind, n) for at, kind, n in said["draws"]))
        measured = [Figures(**row["measured"]) for row in of_part]
        slower = [row["slower"] for row in of_part]
        simulated = [predicted(profile, load, each) for each in slower]
        point = _point(measured, simulated, predicted(profile, load))
        points.append({"part": part, "rate": load.rate, "slower": slower, **point})
    slo_s = slo_of(profile, traffic)
    measured_knee = crossing([(p["rate"], p["e2e_p95"]["measured"]) for p in points], slo_s)
    simulated_knee = crossing([(p["rate"], p["e2e_p95"]["simulated"]) for p in points], slo_s)
    knee = {"slo_p95_s": slo_s, "measured": measured_knee, "simulated": simulated_knee}
    if measured_knee and simulated_knee:
        knee["error"] = simulated_knee / measured_knee - 1
    below = [point for point in points if point["part"] <= BELOW]
    judged = dict.fromkeys(("e2e_mean", "e2e_p99", "ttft_mean"), below) | {"throughput": points}

    def over_points(figure: str) -> dict[str, float]:
        return {name: mean(abs(point[name][figure]) for point in judged[name]) for name in WANTED if name in judged}

    return {
        "points": points,
        "errors": over_points("error"),
        "errors_as_profiled": over_points("error_as_profiled"),
        "measured_twice": over_points("twice"),
        "knee": knee,
    }


def _point(measured: Sequence[Figures], simulated: Sequence[Figures], as_profiled: Figures) -> dict[str, Any]:
    found: dict[str, Any] = {
        "failed": [each.failed for each in measured],
        "simulated_failed": [each.failed for each in simulated],
    }
    for name in ("throughput", "e2e_mean", "e2e_p95", "e2e_p99", "ttft_mean"):
        values = [getattr(each, name) for each in measured]
        middle, said = mean(values), mean(getattr(each, name) for each in simulated)
        spread = (max(values) - min(values)) / middle if middle else 0.0
        found[name] = {
            "measured": middle,
            "simulated": said,
            "error": said / middle - 1,
            "error_as_profiled": getattr(as_profiled, name) / middle - 1,
            "twice": spread,
        }
    return found


def crossing(points: Sequence[tuple[float, float]], slo_s: float) -> float | None:
    """The rate at which the P95 goes beyond the SLO for good, between two rates on a straight line; None: nowhere."""
    for (low, p_low), (high, p_high) in reversed(list(pairwise(points))):
        if p_low <= slo_s < p_high:
            return low + (high - low) * (slo_s - p_low) / (p_high - p_low)
    return None


def table(found: dict[str, Any]) -> Table:
    """Errors beside what was wanted, and beside measuring twice."""
    title = "Simulated against measured: mean error (without regard to the machine's speed; measured twice)"
    shown = Table(title=title, title_justify="left")
    for heading in ("", *(f"{name} ≤ {limit:.0%}" for name, limit in WANTED.items())):
        shown.add_column(heading)
    for traffic, each in found.items():
        cells = [
            f"{error:.1%} ({each['errors_as_profiled'][name]:.1%}; {each['measured_twice'][name]:.1%})"
            for name, error in each["errors"].items()
        ]
        knee = each["knee"].get("error")
        shown.add_row(traffic, *cells, "not crossed" if knee is None else f"{knee:+.1%}")
    return shown


@contextmanager
def _appliance() -> Iterator[Door]:
    """The one that runs on the data directory already, which is left running, or one for as long as it is needed."""
    found = read_running(settings_of(CONFIG).data_dir)
    if found is not None and found.api_key_file is not None:
        yield Door(found.url, found.api_key_file.read_text(encoding="utf-8").split()[0])
        return
    with running_appliance(CONFIG) as running:
        yield Door(running.url, running.api_key)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stages, print the table, record it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="|".join(STAGES), help="by default all of them")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--traffic", choices=list(TRAFFIC), action="append")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one load")
    parser.add_argument("--effort", default="", help="further options of `appliance capacity profile`")
    options = parser.parse_args(arguments)
    stages = options.stages or STAGES
    if strange := set(stages) - set(STAGES):
        parser.error(f"{min(strange)} is no stage; they are {', '.join(STAGES)}")
    options.work.mkdir(parents=True, exist_ok=True)
    os.environ["APPLIANCE_DATA_DIR"] = str(options.work / "data")  # traces of its own
    if {"profile", "measure"} & set(stages):
        with _appliance() as running:
            if "profile" in stages:
                for old in options.work.glob("measured-*.jsonl"):
                    old.unlink()
                stage_profile(running, options.work, options.effort.split())
            if "measure" in stages:
                stage_measure(running, options.work, options.traffic or list(TRAFFIC), options.seconds)
    if "report" in stages:
        found = stage_report(options.work)
        about = {"wanted": WANTED, "questions": QUESTIONS, "machine": machine.describe()}
        profile = profile_of(options.work)
        engines = [asdict(engine) for engine in profile.engines]
        document = {"traffic": found, "engines": engines, "profile": profile.digest, **about}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        Console(width=140).print(table(found))


if __name__ == "__main__":
    main()
