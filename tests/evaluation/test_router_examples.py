"""Runs become examples, and what stands in the held-out suite is left out of the training."""

from __future__ import annotations

import pytest

from appliance.errors import ConfigError
from appliance.evaluation.grading.graders import Exact
from appliance.evaluation.router_examples import examples_of, halves, without_leaks
from appliance.evaluation.run_file import Header, Run
from appliance.evaluation.suite import Suite, Task
from tests.evaluation.attempts import attempt

ARMS = ("auto:direct", "auto:cascade")
WORDS = "Anna has nine apples and gives four of them to her brother before the market opens number"


def suite(*texts: str) -> Suite:
    tasks = tuple(
        Task(f"t{n}", "odd" if n % 2 else "even", (({"role": "user", "content": text},),), ("1",))
        for n, text in enumerate(texts)
    )
    return Suite("mine", tasks, Exact(type="exact"), None, "digest", "mine.yaml")


def run(count: int, targets: tuple[str, ...] = (*ARMS, "small"), digest: str = "digest") -> Run:
    made = [attempt(t, f"t{n}", float(n % 2), gpu_s=2.0) for t in targets for n in range(count)]
    return Run(Header("mine", digest, targets, 1, 0), tuple(made))


def test_every_task_that_all_arms_tried() -> None:
    found = examples_of(run(3), suite("a", "b", "c", "never tried"), "auto")
    assert found.arms == ARMS
    assert [(i.task_id, i.text, i.outcomes["auto:direct"].quality) for i in found.items] == [
        ("t0", "a", 0.0),
        ("t1", "b", 1.0),
        ("t2", "c", 0.0),
    ]


def test_a_run_of_something_else_is_refused() -> None:
    with pytest.raises(ConfigError, match="as it was before, or of another suite"):
        examples_of(run(3, digest="other"), suite("a", "b", "c"), "auto")
    with pytest.raises(ConfigError, match="a router chooses between two or more"):
        examples_of(run(3, ("auto:direct", "auto", "small")), suite("a", "b", "c"), "auto")
    with pytest.raises(ConfigError, match="no task was tried by every target"):
        examples_of(run(0), suite("a"), "auto")


def test_leaks_are_left_out_of_the_training() -> None:
    training = suite(f"{WORDS} one", "something else", f"{WORDS} two")
    cleaned, leaked = without_leaks(examples_of(run(3), training, "auto"), training.tasks, suite(f"{WORDS} one"))
    assert [item.task_id for item in cleaned.items] == ["t1"]
    assert {leak.task_id for leak in leaked} == {"t0", "t2"}


def test_halves_hold_out_of_each_class() -> None:
    train, held = halves(examples_of(run(20), suite(*map(str, range(20))), "auto"), 0.3)
    assert len(held.items) == 6
    assert {i.task_class for i in held.items} == {"odd", "even"}
    assert not {i.task_id for i in held.items} & {i.task_id for i in train.items}
    with pytest.raises(ConfigError, match="too few"):
        halves(examples_of(run(1), suite("a"), "auto"), 0.3)
