"""Does it pay on the starter pool? Trains a router head, lets the gate judge it, and compares it at work.

Everything goes through the command line, as an operator would do it, and through the running appliance; runs that are
there already go on, so that a command that was stopped is given again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.bootstrap.learned_head import heads_directory
from appliance.bootstrap.router_heads import HeadFiles, KeptHead
from appliance.config import load as load_settings
from appliance.evaluation.router_examples import examples_of
from appliance.evaluation.run_file import read_run
from appliance.evaluation.standing import standings
from appliance.evaluation.suite import load_suite
from appliance.learning.examples import Examples, Outcome
from appliance.learning.features import features
from benchmarks.starter.appliance_process import appliance, running_appliance
from benchmarks.starter.suite import SUITE, write_part
from benchmarks.starter.training_suite import TRAINING
from benchmarks.starter.worth import Worth

AUTO: Final = "auto"
ARMS: Final = ("auto:direct", "auto:plan_execute", "auto:plan_execute_verify")
ORCHESTRATED: Final = "auto:plan_execute_verify"
SINGLE: Final = "starter-generalist"
SAMPLES: Final = 3
LIVE: Final = (AUTO, *ARMS, SINGLE, f"self-consistency:{SINGLE}@{SAMPLES}")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tasks of each part."""

    training: int
    held_out: int
    live: int


@dataclass(frozen=True, slots=True)
class Learning:
    """One whole round below `directory`: its suites, its runs, and the data directory of its appliance."""

    config: Path
    directory: Path
    sizes: Sizes
    at_once: int

    def run(self, html: Path) -> dict[str, Any]:
        """The result, for a results file; the report of the comparison at work in `html`."""
        write_part("training", TRAINING, self.sizes.training, self.directory)
        write_part("held-out", SUITE, self.sizes.held_out, self.directory)
        write_part("live", SUITE, self.sizes.live, self.directory)
        with self._own_data_directory():
            if not (self._is_whole("training") and self._is_whole("held-out")):
                with running_appliance(self.config):
                    self._evaluated("training", ARMS)
                    self._evaluated("held-out", ARMS)
            head = self._trained()
            opened = head.card.gate["answer"] == "promoted"
            if opened:
                self._appliance("router", "promote", "--head", head.head_id)
            with running_appliance(self.config):
                comparison = self._evaluated("live", LIVE, "--html", str(html))
        return {
            "head": {"id": head.head_id, "parameters": head.head.parameters, "training": head.card.metrics},
            "gate": head.card.gate,
            "promoted": opened,
            "held_out": self._on_paper(head).as_document(),
            "live": self._at_work(head).as_document(),
            "comparison": comparison,
        }

    @contextmanager
    def _own_data_directory(self) -> Iterator[None]:
        """Heads of a trial stay with it."""
        before = os.environ.get("APPLIANCE_DATA_DIR")
        os.environ["APPLIANCE_DATA_DIR"] = str(self.directory / "data")
        try:
            yield
        finally:
            del os.environ["APPLIANCE_DATA_DIR"]
            if before is not None:
                os.environ["APPLIANCE_DATA_DIR"] = before

    def _suite(self, name: str) -> Path:
        return self.directory / f"{name}.yaml"

    def _run_file(self, name: str) -> Path:
        return self.directory / f"{name}.run.jsonl"

    def _is_whole(self, name: str) -> bool:
        """Whether the run under ARMS was made before, to its end."""
        file = self._run_file(name)
        wanted = len(load_suite(self._suite(name)).tasks) * len(ARMS)
        return file.exists() and len(read_run(file).attempts) == wanted

    def _evaluated(self, name: str, targets: tuple[str, ...], *further: str) -> dict[str, Any]:
        command = ["eval", "run", str(self._suite(name)), "--targets", ",".join(targets), "--json", *further]
        command += ["--out", str(self._run_file(name)), "--at-once", str(self.at_once)]
        found: dict[str, Any] = json.loads(self._appliance(*command))
        return found

    def _trained(self) -> KeptHead:
        """The head; the gate's answer stands on its card."""
        runs = ["--from", self._run_file("training"), "--suite", self._suite("training")]
        runs += ["--held-out-run", self._run_file("held-out"), "--held-out-suite", self._suite("held-out")]
        shown = json.loads(self._appliance("router", "train", *map(str, runs), "--json", may_end_with=(0, 1)))
        return HeadFiles(heads_directory(load_settings(self.config))).read(shown["head"])

    def _appliance(self, *arguments: str, may_end_with: tuple[int, ...] = (0,)) -> str:
        return appliance(*arguments, "--config", str(self.config), may_end_with=may_end_with)

    def _on_paper(self, head: KeptHead) -> Worth:
        """On all held-out tasks, from their logged outcomes: what the gate saw."""
        examples = examples_of(read_run(self._run_file("held-out")), load_suite(self._suite("held-out")), AUTO)
        return worth_on_paper(head, examples)

    def _at_work(self, head: KeptHead) -> Worth:
        """As it decided in the running appliance, beside the fixed strategies."""
        run = read_run(self._run_file("live"))
        found = {name: standings(run.attempts, name) for name in (AUTO, *ARMS)}
        tried = [task for task in found[AUTO] if all(task in of for of in found.values())]
        outcomes: Mapping[str, list[Outcome]] = {
            name: [Outcome(of[task].score, of[task].gpu_s) for task in tried] for name, of in found.items()
        }
        fixed = {arm: outcomes[arm] for arm in ARMS}
        return Worth(outcomes[AUTO], fixed, head.card.gpu_second_worth, ORCHESTRATED)


def worth_on_paper(head: KeptHead, examples: Examples) -> Worth:
    """What the head would have chosen, with the outcomes that were logged."""
    chosen = []
    for item in examples.items:
        choice = head.head.choose(features(item.text, item.embedding))
        assert choice is not None, "a head has arms"
        chosen.append(item.outcomes[choice.arm])
    fixed = {arm: [item.outcomes[arm] for item in examples.items] for arm in examples.arms}
    return Worth(chosen, fixed, head.card.gpu_second_worth, ORCHESTRATED)
