"""The committed suite is the one that the code makes, and holds what it promises."""

import json
from collections import Counter

from models.starter.problems.draft import Step
from models.starter.problems.problem import results_of
from models.starter.suite import SUITE, make_suite

ROWS = [json.loads(line) for line in SUITE.read_text().splitlines()]


def test_the_committed_suite_is_reproducible() -> None:
    assert SUITE.read_text() == "".join(question.line() + "\n" for question in make_suite())


def test_every_number_of_steps_has_enough_problems_in_both_wordings() -> None:
    counts = Counter((row["steps"], row["wording"]) for row in ROWS if row["class"] != "direct")
    assert set(counts) == {(steps, wording) for steps in range(1, 6) for wording in ("seen", "unseen")}
    assert min(counts.values()) >= 100


def test_there_are_direct_prompts() -> None:
    assert sum(row["class"] == "direct" for row in ROWS) >= 60


def test_identifiers_and_questions_are_unique() -> None:
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert len({row["question"] for row in ROWS}) == len(ROWS)


def test_plans_lead_to_the_answers() -> None:
    for row in ROWS:
        if row["plan"]:
            plan = [Step(**step) for step in row["plan"]]
            assert results_of(plan)[plan[-1].id] == row["answer"]
