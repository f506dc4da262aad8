"""Quality of a mix by what was measured: of runs and of reports, and what can't be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.capacity.quality import Measured, Score
from appliance.capacity.quality_file import load_quality
from appliance.errors import ConfigError
from appliance.evaluation.comparison import EVERYTHING
from appliance.evaluation.paired import Interval
from appliance.evaluation.run_file import Header, RunFile
from tests.evaluation.attempts import attempt


def score(target: str, task_class: str, mean: float, tasks: int = 10) -> Score:
    return Score(target, task_class, tasks, Interval(mean, mean - 0.1, mean + 0.1))


SCORES = (
    score("small", EVERYTHING, 0.5, 20),
    score("small", "look-up", 0.8),
    score("small", "steps", 0.2),
    score("auto:plan", EVERYTHING, 0.7, 20),
    score("auto:plan", "look-up", 0.7),
    score("auto:plan", "steps", 0.7),
)


def measured(*hard: str) -> Measured:
    return Measured(SCORES, "run.jsonl", "auto", frozenset({"small"}), frozenset(hard))


def test_easy_and_hard_requests_are_scored_on_their_classes() -> None:
    found = measured("steps").quality("small", "auto:plan", 0.25)
    assert found is not None
    assert found.score.mean == pytest.approx(0.75 * 0.8 + 0.25 * 0.7)
    assert found.score.low == pytest.approx(found.score.mean - 0.1)
    assert found.by_class["small"]["steps"].mean == 0.2
    assert found.source == "measured by run.jsonl: small for easy and auto:plan for hard requests"


def test_where_the_hard_classes_are_not_known_it_says_so() -> None:
    found = measured().quality("small", "auto:plan", 0.25)
    assert found is not None
    assert found.score.mean == pytest.approx(0.75 * 0.5 + 0.25 * 0.7)
    assert "each on all tasks (see --hard-classes)" in found.source


def test_one_model_alone_answers_both() -> None:
    found = measured("steps").quality("small", "small", 0.5)
    assert found is not None
    assert found.score.mean == pytest.approx(0.5)


def test_what_was_not_measured_has_no_quality() -> None:
    assert measured().quality("other", "auto:plan", 0.2) is None
    assert measured().quality("small", "auto:cascade", 0.2) is None
    assert measured().quality("small", "auto:cascade", 0.0) is not None


def test_a_class_that_the_run_does_not_have() -> None:
    with pytest.raises(ConfigError, match=r"--hard-classes maths: run.jsonl has no such class .*look-up, steps"):
        measured("maths")


def a_run(path: Path, about: dict[str, Any]) -> Path:
    with RunFile(path, Header("suite", "d" * 64, ("auto", "small"), 1, 0, about)) as file:
        for number in range(6):
            file.append(attempt("auto", number, 1.0))
            file.append(attempt("small", number, float(number % 2)))
    return path


ABOUT = {"virtual_model": "auto", "models": ["small", "big"], "appliance": "0"}


def test_a_run_and_the_report_of_it_say_the_same(tmp_path: Path) -> None:
    run = load_quality(a_run(tmp_path / "run.jsonl", ABOUT))
    rows = [
        {"target": s.target, "class": s.task_class, "tasks": s.tasks, "quality": s.quality.as_document(), "errors": 0}
        for s in run.scores
    ]
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"suite": "suite", "about": ABOUT, "rows": rows}))
    again = load_quality(report)
    assert again.scores == run.scores
    assert again.models == {"small", "big"}
    assert {s.quality.mean for s in run.scores if s.target == "small"} == {0.5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "neither a run nor a report"),
        ("[1]", "neither a run nor a report"),
        ("hello\n", "line 1 is not the header of a run"),
        ('{"about": {"virtual_model": "a", "models": []}, "rows": []}', "rows"),
        (
            '{"about": {"virtual_model": "a", "models": []}, "rows": [{"target": "t", "class": "c", "tasks": 1, '
            '"quality": {"mean": 7, "low": 0, "high": 1}}]}',
            "rows.0.quality.mean",
        ),
    ],
)
def test_what_is_no_measured_quality(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"run\.json") as caught:
        load_quality(file)
    assert said in str(caught.value)


def test_files_that_are_not_there_or_say_no_pool(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        load_quality(tmp_path / "none")
    with pytest.raises(ConfigError, match="does not say which pool it is of"):
        load_quality(a_run(tmp_path / "run.jsonl", {}))
