"""Tasks that stand in two suites."""

from __future__ import annotations

from appliance.evaluation.leakage import leaks
from appliance.evaluation.suite import Task


def task(task_id: str, text: str) -> Task:
    return Task(task_id, "all", (({"role": "user", "content": text},),), ("x",))


WORDS = "Anna has nine apples and gives four of them to her brother before the market opens again"


def test_equal_and_nearly_equal_tasks_are_found() -> None:
    others = [task("o1", WORDS), task("o2", "something else entirely, about trains and their stations")]
    found = leaks([task("a", f"  {WORDS.upper()}"), task("b", f"{WORDS} today"), task("c", "new words here")], others)
    assert [(leak.task_id, leak.other_id) for leak in found] == [("a", "o1"), ("b", "o1")]
    assert found[0].likeness == 1
    assert 0.8 <= found[1].likeness < 1


def test_other_numbers_make_another_task() -> None:
    others = [task("o", "What is 12 plus 30, and then less 4, please?")]
    assert leaks([task("a", "What is 77 plus 51, and then less 9, please?")], others) == ()


def test_short_tasks_and_none() -> None:
    assert leaks([task("a", "hi")], [task("o", "hi")])[0].likeness == 1
    assert leaks([], [task("o", "hi")]) == leaks([task("a", "hi")], []) == ()
