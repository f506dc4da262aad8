"""The held-out suite, and the part of it that a comparison takes."""

from collections import Counter

from benchmarks.starter.suite import load, spread


def test_a_part_has_every_number_of_steps_and_both_wordings_in_equal_shares() -> None:
    chosen = spread(load(), 120)
    counts = Counter((problem.steps, problem.wording) for problem in chosen)
    assert set(counts.values()) == {10}
    assert len(counts) == 12


def test_all_of_it_is_each_problem_once() -> None:
    problems = load()
    assert sorted(p.id for p in spread(problems, 10_000)) == sorted(p.id for p in problems)
