"""The held-out suite, and the part of it that a comparison takes."""

from collections import Counter
from pathlib import Path

from appliance.evaluation.suite import load_suite
from benchmarks.starter.suite import SUITE, WITH_STEPS, WITHOUT, load, spread, write_part


def test_a_part_has_every_number_of_steps_and_both_wordings_in_equal_shares() -> None:
    chosen = spread(load(), 120)
    counts = Counter((problem.steps, problem.wording) for problem in chosen)
    assert set(counts.values()) == {10}
    assert len(counts) == 12


def test_all_of_it_is_each_problem_once() -> None:
    problems = load()
    assert sorted(p.id for p in spread(problems, 10_000)) == sorted(p.id for p in problems)


def test_a_part_is_a_suite_of_its_own(tmp_path: Path) -> None:
    suite = load_suite(write_part("part", SUITE, 24, tmp_path))
    assert suite.name == "part"
    assert set(suite.classes) == {WITH_STEPS, WITHOUT}
    assert {task.task_id for task in suite.tasks} == {problem.id for problem in spread(load(), 24)}
    assert load_suite(write_part("part", SUITE, 24, tmp_path)).digest == suite.digest
