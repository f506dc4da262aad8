"""How far the simulator is off: real vLLM on the CPU with the starter pool, under loads that it was not fitted on.

1. `profile`: single requests one by one, whose traces are the request trees, then `appliance capacity profile`.
2. `measure`: the same questions under loads: direct, orchestrated and mixed, several rates up to beyond the knee, each
   twice, in mixed order.
3. `again`: as `profile`. A machine that is shared is not as fast all the time, so the loads stand between two profiles.
4. `report`: the simulator is given what was sent when (questions and due times) and asked for throughput, latencies and
   the highest rate under an SLO; it says the mean of what it says with either profile. Beside each error stands how far
   the two measurements are from each other.

How fast the machine is just now is told by a reference: the same calls to all engines at once, sent before and after
each profile and between the loads. The report says both what the simulator says as it is, and what it says of a machine
that is by so much slower or faster than it was for the profiles.

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
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Final

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))  # the imports below need it, hence E402

from appliance.bench.connection import Target  # noqa: E402
from appliance.bench.dialogue import ClosedPhase, Dialogue, OpenPhase  # noqa: E402
from appliance.bench.driver import Limits, drive  # noqa: E402
from appliance.bench.records import RequestRecord  # noqa: E402
from appliance.bootstrap.data_dir import read_running  # noqa: E402
from appliance.capacity.profile import Profile  # noqa: E402
from appliance.capacity.profile_file import load_profile  # noqa: E402
from appliance.config import load as settings_of  # noqa: E402
from appliance.domain.strategy import PASSTHROUGH, PLAN_EXECUTE_VERIFY  # noqa: E402
from benchmarks import machine  # noqa: E402
from benchmarks.starter import suite  # noqa: E402
from benchmarks.starter.appliance_process import running_appliance  # noqa: E402
from benchmarks.validation_errors import WANTED, compared, table  # noqa: E402
from benchmarks.validation_loads import (  # noqa: E402
    LOADS,
    QUESTIONS,
    TRAFFIC,
    Figures,
    figures,
    knee_of,
    load_of,
    predicted,
    slo_of,
)

CONFIG: Final = ROOT / "config" / "starter.yaml"
WORK: Final = ROOT / "var" / "validate-capacity"
RESULTS: Final = ROOT / "benchmarks" / "results" / "validate-capacity.json"

STAGES: Final = ("profile", "measure", "again", "report")
BEFORE, AFTER = "profile.json", "profile-after.json"
REFERENCE_FILE: Final = "references.jsonl"
"""What the two profiles are kept as, and what the reference took then."""
MODEL: Final = "starter-generalist"
REPEATS: Final = 2
REFERENCES: Final = 3
"""So many in a row: before and after a profile, and between two loads."""
REFERENCE_CALLS, REFERENCE_TOKENS = 4, 64
"""To each engine at once, and what each of them answers with."""
SECONDS: Final = 16.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where the appliance listens."""

    url: str
    api_key: str


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


@dataclass(frozen=True, slots=True)
class Reference:
    """Calls whose number tells the model and the question."""

    models: Sequence[str]

    def dialogue(self, index: int) -> Dialogue:
        """The one of this number."""
        message = {"role": "user", "content": questions()[index % QUESTIONS]}
        fields = {"max_tokens": REFERENCE_TOKENS, "temperature": 0, "ignore_eos": True, "skip_special_tokens": False}
        return Dialogue("reference", self.models[index % len(self.models)], ((message,),), fields=fields)


def questions() -> tuple[str, ...]:
    """In turn from all numbers of steps."""
    return tuple(problem.question for problem in suite.spread(suite.load(), QUESTIONS))


def of_records(records: Sequence[RequestRecord]) -> Figures:
    """As measured."""
    answered = [r for r in records if r.ok]
    times = [(r.due_s, r.due_s + (r.e2e_s if r.ttft_s is None else r.ttft_s), r.ended_s) for r in answered]
    return figures(times, len(records) - len(answered))


def warm_up(target: Target) -> None:
    """The first calls after a start are slow ones."""
    asked = Asked([(kind, number) for number in range(9) for kind in TRAFFIC["mixed"]])
    asyncio.run(drive(target, [ClosedPhase("warm-up", 0.0, 5.0, 2)], asked))


def reference_s(target: Target) -> float:
    """What the reference takes now: the mean time of its calls, several times in a row."""
    models = [member.model for member in settings_of(CONFIG).pool]
    dues = (0.0,) * (REFERENCE_CALLS * len(models))
    records: list[RequestRecord] = []
    for _ in range(REFERENCES):
        records += asyncio.run(drive(target, [OpenPhase("reference", 0.0, 0.0, dues)], Reference(models)))
    if failed := [record.error for record in records if not record.ok]:
        raise SystemExit(f"the reference was not answered: {failed[0]}")
    return mean(record.e2e_s for record in records)


def note_reference(target: Target, work: Path, name: str) -> None:
    """Beside the profile of this name."""
    with (work / REFERENCE_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"profile": name, "seconds": reference_s(target)}) + "\n")


def stage_profile(running: Door, work: Path, effort: Sequence[str], name: str = BEFORE) -> None:
    """Single requests, then the profile, kept by this name."""
    target = Target(running.url, running.api_key)
    warm_up(target)
    for kind in (PASSTHROUGH, PLAN_EXECUTE_VERIFY):
        for n in range(QUESTIONS):
            (record,) = asyncio.run(drive(target, [OpenPhase("one", 0.0, 0.0, (0.0,))], Asked([(kind, n)])))
            if not record.ok:
                raise SystemExit(f"question {n} was not answered: {record.error}")
    note_reference(target, work, name)
    command = ["appliance", "capacity", "profile", "--url", running.url, "--out", str(work / name)]
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
    note_reference(target, work, name)


def profile_of(work: Path, name: str = BEFORE) -> Profile:
    """A profile, with the tree of question n at place n. Traces come newest first."""
    found = load_profile(work / name)
    trees = {kind: tuple(reversed(each)) for kind, each in found.trees.items()}
    for kind in (PASSTHROUGH, PLAN_EXECUTE_VERIFY):
        if len(trees.get(kind, ())) != QUESTIONS:
            raise SystemExit(f"{len(trees.get(kind, ()))} trees of {kind} instead of {QUESTIONS}; profile again")
    return Profile(found.engines, trees, found.made_of, found.made_unix_s)


def stage_measure(running: Door, work: Path, traffics: Sequence[str], seconds: float) -> None:
    """All loads, in mixed order, without those that the file has already: it has what is done so far."""
    profile, target = profile_of(work), Target(running.url, running.api_key)
    warm_up(target)
    loads = []
    for traffic in traffics:
        slo_s = slo_of(profile, traffic)
        knee = knee_of(profile, traffic, slo_s, seconds)
        print(f"{traffic}: SLO P95 {slo_s:.2f} s, predicted knee {knee:.2f} requests/s", flush=True)
        loads += [load_of(traffic, part, part * knee, seconds, 200 + n) for n, part in enumerate(LOADS)]
    done = Counter(
        (row["load"]["traffic"], row["load"]["part"]) for traffic in traffics for row in measured(work, traffic)
    )
    order = [load for load in loads for _ in range(REPEATS - done[load.traffic, load.part])]
    random.Random(7).shuffle(order)
    before_s = reference_s(target)
    for number, load in enumerate(order, 1):
        phase = OpenPhase("load", 0.0, seconds, tuple(at for at, _, _ in load.draws))
        asked = Asked([(kind, n) for _, kind, n in load.draws])
        records = asyncio.run(drive(target, [phase], asked, limits=Limits(120.0, 90.0)))
        after_s = reference_s(target)
        row = {
            "load": asdict(load),
            "measured": asdict(of_records(records)),
            "seconds": seconds,
            "reference_s": (before_s + after_s) / 2,
        }
        before_s = after_s
        with (work / f"measured-{load.traffic}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        found = of_records(records)
        print(
            f"{number}/{len(order)} {load.traffic} {load.rate:.2f}/s: E2E {found.e2e_mean:.3f} s, "
            f"simulated {predicted(profile, load).e2e_mean:.3f} s",
            flush=True,
        )


def stage_report(work: Path) -> dict[str, Any]:
    """The table's figures."""
    profiles, found = profiles_of(work), {}
    reference = mean(json.loads(line)["seconds"] for line in (work / REFERENCE_FILE).read_text().splitlines())
    for traffic in TRAFFIC:
        if rows := measured(work, traffic):
            found[traffic] = compared(profiles, traffic, rows, reference)
    return found


def profiles_of(work: Path) -> tuple[Profile, ...]:
    """That from before the loads, and that from after them where it was made."""
    return tuple(profile_of(work, name) for name in (BEFORE, AFTER) if name == BEFORE or (work / name).exists())


def measured(work: Path, traffic: str) -> list[dict[str, Any]]:
    """What was measured so far of a class of traffic."""
    path = work / f"measured-{traffic}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


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
    if set(stages) - {"report"}:
        with _appliance() as running:
            if "profile" in stages:
                for old in (
                    *options.work.glob("measured-*.jsonl"),
                    options.work / AFTER,
                    options.work / REFERENCE_FILE,
                ):
                    old.unlink(missing_ok=True)
                stage_profile(running, options.work, options.effort.split())
            if "measure" in stages:
                stage_measure(running, options.work, options.traffic or list(TRAFFIC), options.seconds)
            if "again" in stages:
                stage_profile(running, options.work, options.effort.split(), AFTER)
    if "report" in stages:
        found = stage_report(options.work)
        about = {"wanted": WANTED, "questions": QUESTIONS, "machine": machine.describe()}
        profiles = [
            {"profile": profile.digest, "engines": [asdict(engine) for engine in profile.engines]}
            for profile in profiles_of(options.work)
        ]
        document = {"traffic": found, "profiles": profiles, **about}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        for slowness, each in (("as in the profiles", "as_it_is"), ("as around each load", "at_its_speed")):
            Console(width=140).print(table({name: of[each] for name, of in found.items()}, slowness))


if __name__ == "__main__":
    main()
