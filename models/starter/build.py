"""The whole pipeline: tokenizer, trainings side by side, own errors, verifier, export, suite, evaluation, cards."""

import subprocess
import sys
import time
from collections.abc import Iterable

from models.starter.cards import write_cards
from models.starter.evaluate import PARTS, evaluate_part, merge
from models.starter.examples import OWN_ERRORS
from models.starter.own_errors import collect
from models.starter.roster import PLANS, RUNS, TEAM, weights_folder
from models.starter.sampling import Sampler
from models.starter.suite import write_suite
from models.starter.train import export_checkpoint, finished, make_tokenizer, say


class TrainingFailed(RuntimeError):
    """A training process ended with an error."""


def run_side_by_side(names: Iterable[str], jobs: int) -> None:
    """Trains models in processes of their own, the largest first, as many workers at once as there are jobs."""
    waiting = sorted((n for n in names if not finished(n)), key=lambda n: -PLANS[n].minutes)
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        while waiting or running:
            for name, process in list(running.items()):
                code = process.poll()
                if code:
                    raise TrainingFailed(f"training of {name} ended with {code}; run build again to resume")
                if code == 0:
                    del running[name]
            busy = sum(PLANS[name].workers for name in running)
            fitting = [n for n in waiting if busy + PLANS[n].workers <= jobs or not running]
            if fitting:
                waiting.remove(fitting[0])
                running[fitting[0]] = subprocess.Popen([sys.executable, "-m", "models.starter", "train", fitting[0]])
                continue
            time.sleep(1)
    finally:
        for process in running.values():
            process.terminate()


def collect_own_errors() -> None:
    """Samples the executors, unless that was done before."""
    if OWN_ERRORS.exists():
        return
    for skill in ("math", "text"):
        export_checkpoint(skill)
    collect({skill: Sampler(weights_folder(skill)) for skill in ("math", "text")}, say)


def build(jobs: int) -> None:
    """Everything; what is finished is not done again."""
    RUNS.mkdir(parents=True, exist_ok=True)
    make_tokenizer()
    run_side_by_side(("math", "text"), jobs)
    collect_own_errors()
    run_side_by_side([*TEAM, "generalist"], jobs)
    for name in PLANS:
        export_checkpoint(name)
    write_suite()
    for part in PARTS:
        evaluate_part(part, threads=jobs, report=say)
    merge()
    write_cards()
