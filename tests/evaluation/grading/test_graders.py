"""Graders on answers as models write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from appliance.evaluation.grading.graders import Grader, ReadingGrader, last_number

_ADAPTER: TypeAdapter[Any] = TypeAdapter(Grader)


def grader(**settings: Any) -> ReadingGrader:
    made: ReadingGrader = _ADAPTER.validate_python(settings)
    return made


def score(made: ReadingGrader, answer: str, *answers: str, choices: tuple[str, ...] = ()) -> float:
    return made.grade(answer, answers, choices).score


def test_exact_reads_past_spelling_unless_told_otherwise() -> None:
    assert score(grader(type="exact"), " **1,200** ", "1200") == 1
    assert score(grader(type="exact", normalise=False), "1,200", "1200") == 0
    assert score(grader(type="exact"), "either", "one", "either") == 1


def test_only_the_part_that_counts_is_graded() -> None:
    assert score(grader(type="exact", after=";"), "12+3=15; 15", "15") == 1
    assert score(grader(type="exact", extract=r"answer is (\w+)"), "The answer is blue, I say", "blue") == 1
    assert score(grader(type="exact", extract=r"answer is (\w+)"), "blue", "blue") == 0


@pytest.mark.parametrize(
    ("answer", "right", "expected"),
    [
        ("so 1,234.50 in all", "1234.5", 1),
        ("it is −7", "-7", 1),
        ("first 3, then 4", "3", 0),
        ("none", "3", 0),
        ("1e3", "1000", 1),
    ],
)
def test_numeric_takes_the_last_number(answer: str, right: str, expected: float) -> None:
    assert score(grader(type="numeric"), answer, right) == expected


def test_numeric_tolerances() -> None:
    assert score(grader(type="numeric", absolute=0.5), "3.4", "3") == 1
    assert score(grader(type="numeric", relative=0.01), "101", "100") == 1
    assert score(grader(type="numeric", relative=0.01), "102", "100") == 0


@given(st.integers(-(10**9), 10**9))
def test_every_whole_number_is_read_as_it_is_written(number: int) -> None:
    assert last_number(f"that makes {number:,}.") == number
    assert last_number(f"that makes {number}") == number


def test_regex_of_the_task_or_of_the_suite() -> None:
    assert score(grader(type="regex"), "the 3rd of May", r"\d+rd") == 1
    assert score(grader(type="regex", pattern=r"^yes\b"), "yes, of course") == 1
    with pytest.raises(ValidationError, match="can't be used"):
        grader(type="exact", extract="(")


def test_json_schema_and_right_answer() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    made = grader(type="json_schema", json_schema=schema)
    assert score(made, '{"n": 3}') == 1
    assert score(made, '{"n": "3"}') == 0
    assert score(made, "three") == 0
    assert score(made, '{"n": 3}', '{ "n":3 }') == 1
    assert score(made, '{"n": 4}', '{"n": 3}') == 0
    with pytest.raises(ValidationError, match="no valid JSON Schema"):
        grader(type="json_schema", json_schema={"type": "nonsense"})


@pytest.mark.parametrize("answer", ["B", "B.", "**B** because", "(B)", "I think it is B", "green"])
def test_choice_finds_the_letter(answer: str) -> None:
    assert score(grader(type="choice"), answer, "1", choices=("red", "green")) == 1


@pytest.mark.parametrize("answer", ["A", "C", "I can't say", "blue"])
def test_choice_takes_nothing_else(answer: str) -> None:
    assert score(grader(type="choice"), answer, "green", choices=("red", "green")) == 0


def test_set_f1() -> None:
    made = grader(type="set_f1")
    assert score(made, "Oslo, Bergen", "bergen; oslo") == 1
    assert score(made, "Oslo, Rome", "Oslo, Bergen") == 0.5
    assert score(made, '["Oslo"]', "Oslo") == 1
    assert score(made, "", "Oslo") == 0


@pytest.mark.parametrize(
    ("settings", "answers", "choices", "said"),
    [
        ({"type": "exact"}, (), (), "a right answer is needed"),
        ({"type": "numeric"}, ("many",), (), "holds no number"),
        ({"type": "choice"}, ("E",), ("x", "y"), "none of the choices"),
        ({"type": "choice"}, ("A",), (), "needs choices"),
        ({"type": "unit_tests"}, (), (), "needs tests"),
        ({"type": "regex"}, ("(",), (), "can't be used"),
        ({"type": "json_schema", "json_schema": {}}, ("{",), (), "is not JSON"),
    ],
)
def test_tasks_that_cant_be_graded(
    settings: dict[str, Any], answers: tuple[str, ...], choices: tuple[str, ...], said: str
) -> None:
    assert said in grader(**settings).problem(answers, choices, "")


@given(st.sampled_from(["exact", "numeric", "regex", "choice", "set_f1"]), st.text(max_size=200))
def test_no_answer_breaks_a_grader(kind: str, answer: str) -> None:
    made = grader(type=kind)
    assert 0 <= made.grade(answer, ("1",), ("a", "1")).score <= 1
    assert isinstance(made.key(answer), str)
