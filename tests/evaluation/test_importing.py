"""Files of well-known shapes become suites that load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ConfigError
from appliance.evaluation.importing import Shape, import_suite
from appliance.evaluation.suite import Suite, load_suite

TRACE = {
    "trace_id": "ab",
    "outcome": "ok",
    "decision": {"strategy": "direct", "reasons": []},
    "request": {"messages": [{"role": "user", "content": "hello", "extra": {}}]},
    "answer": "good day",
}


def imported(tmp_path: Path, shape: Shape, *rows: Any, judge: str | None = None) -> Suite:
    source = tmp_path / "source.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows))
    return load_suite(import_suite(shape, source, tmp_path / "out", "mine", judge))


def test_gsm8k(tmp_path: Path) -> None:
    made = imported(tmp_path, Shape.GSM8K, {"question": "2+2?", "answer": "It is 2+2.\n#### 4"})
    assert made.tasks[0].answers == ("4",)
    assert made.grader.type == "numeric"


def test_choices_by_index_letter_and_label(tmp_path: Path) -> None:
    made = imported(
        tmp_path,
        Shape.CHOICE,
        {"question": "q", "choices": ["x", "y"], "answer": 1, "subject": "law"},
        {"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"},
        {"question": "q", "choices": ["x", "y"], "answer": "B"},
    )
    assert [made.grader.grade("B", t.answers, t.choices).score for t in made.tasks] == [1, 1, 1]  # type: ignore[union-attr]  # a choice
    assert made.classes == ("law", "all")
    assert made.tasks[0].text.endswith("A. x\nB. y\n\nAnswer with the letter alone.")


def test_mt_bench_with_and_without_references(tmp_path: Path) -> None:
    rows = [
        {"question_id": 81, "category": "writing", "turns": ["a", "b"]},
        {"question_id": 82, "category": "math", "turns": ["c"], "reference": ["d"]},
    ]
    made = imported(tmp_path, Shape.MT_BENCH, *rows, judge="big")
    assert [len(task.turns) for task in made.tasks] == [2, 1]
    assert [task.answers for task in made.tasks] == [(), ("d",)]
    with pytest.raises(ConfigError, match="name one of the pool with --judge"):
        imported(tmp_path, Shape.MT_BENCH, *rows)


def test_openai_evals(tmp_path: Path) -> None:
    rows = [{"input": [{"role": "user", "content": "q"}], "ideal": ["a", "b"]}, {"input": "q", "ideal": "c"}]
    made = imported(tmp_path, Shape.OPENAI_EVALS, *rows)
    assert [task.answers for task in made.tasks] == [("a", "b"), ("c",)]


def test_kept_traces_without_contents_are_left_out(tmp_path: Path) -> None:
    without = {**TRACE, "trace_id": "cd", "request": None, "answer": None}
    made = imported(tmp_path, Shape.TRACES, TRACE, without, judge="big")
    assert [(t.task_id, t.task_class, t.answers) for t in made.tasks] == [("ab", "direct", ("good day",))]


@pytest.mark.parametrize(
    ("shape", "row", "said"),
    [
        (Shape.GSM8K, {"question": "q"}, "line 1: is not of this shape: no 'answer'"),
        (Shape.CHOICE, {"question": "q", "choices": 3, "answer": 1}, "line 1: is not of this shape"),
        (Shape.GSM8K, {"question": "q", "answer": "many"}, "holds no number"),
        (Shape.TRACES, {**TRACE, "outcome": "error"}, "holds nothing that could be asked"),
    ],
)
def test_a_file_of_another_shape_leaves_nothing(tmp_path: Path, shape: Shape, row: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        imported(tmp_path, shape, row, judge="big")
    assert said in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))


def test_nothing_is_written_over(tmp_path: Path) -> None:
    row = {"question": "2+2?", "answer": "4"}
    imported(tmp_path, Shape.GSM8K, row)
    with pytest.raises(ConfigError, match="is there already"):
        imported(tmp_path, Shape.GSM8K, row)
