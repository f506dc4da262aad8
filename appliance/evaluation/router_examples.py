"""Runs of a suite as examples for the learned router: every task with what each strategy was worth on it. Pure."""

from __future__ import annotations

from collections.abc import Collection

from appliance.errors import ConfigError
from appliance.evaluation.leakage import Leak, leaks
from appliance.evaluation.run_file import Run
from appliance.evaluation.standing import standings
from appliance.evaluation.suite import Suite, Task
from appliance.learning.examples import Example, Examples, Outcome


def examples_of(run: Run, suite: Suite, virtual_model: str) -> Examples:
    """The tasks that every strategy was tried on. The targets `VIRTUAL:STRATEGY` are the arms; others don't count.

    Raises ConfigError where the run is not of this suite, or has fewer than two such targets.
    """
    if run.header.suite_digest.partition("/")[0] != suite.digest:
        raise ConfigError(f"{suite.source}: the run is of {run.header.suite} as it was before, or of another suite")
    arms = tuple(name for name in run.header.targets if name.startswith(f"{virtual_model}:") and "@" not in name)
    if len(arms) < 2:
        raise ConfigError(
            f"the run has {len(arms)} targets like {virtual_model}:STRATEGY; a router chooses between two or more"
        )
    found = {arm: standings(run.attempts, arm) for arm in arms}
    tried = set.intersection(*(set(of_arm) for of_arm in found.values()))
    items = tuple(
        Example(
            task.task_id,
            task.task_class,
            prompt_of(task),
            {arm: Outcome(found[arm][task.task_id].score, found[arm][task.task_id].gpu_s) for arm in arms},
        )
        for task in suite.tasks
        if task.task_id in tried
    )
    return Examples(arms, items)


def prompt_of(task: Task) -> str:
    """What the router sees of a task: its first conversation's last message."""
    return str(task.turns[0][-1].get("content", ""))


def without_leaks(training: Examples, tasks: Collection[Task], held_out: Suite) -> tuple[Examples, tuple[Leak, ...]]:
    """The training examples that stand in no held-out task, not even nearly; and those that were taken out.

    `tasks` are the training suite's.
    """
    wanted = {item.task_id for item in training.items}
    found = leaks([task for task in tasks if task.task_id in wanted], held_out.tasks)
    leaked = {leak.task_id for leak in found}
    return Examples(training.arms, tuple(i for i in training.items if i.task_id not in leaked)), found


def halves(examples: Examples, held_out_share: float) -> tuple[Examples, Examples]:
    """Training and held-out part where there is one run only: of each class the last part is held out."""
    by_class: dict[str, list[int]] = {}
    for place, item in enumerate(examples.items):
        by_class.setdefault(item.task_class, []).append(place)
    held = {place for places in by_class.values() for place in places[round(len(places) * (1 - held_out_share)) :]}
    train = [place for place in range(len(examples.items)) if place not in held]
    if not train or not held:
        raise ConfigError(f"{len(examples.items)} tasks are too few to hold some of them out; run more of them")
    return examples.part(train), examples.part(sorted(held))
