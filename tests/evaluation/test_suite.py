"""Suites from disk: what they hold, and one clear error for each way to get them wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.errors import ConfigError
from appliance.evaluation.suite import load_suite, spread

ROW = {"id": "1", "class": "sums", "question": "1+1?", "answer": "2"}


def suite(tmp_path: Path, rows: list[Any], **settings: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (tmp_path / "items.jsonl").write_text("\n".join(lines))
    document = {"name": "mine", "items": "items.jsonl", "grader": {"type": "exact"}, **settings}
    file = tmp_path / "suite.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_the_shipped_suite_loads() -> None:
    loaded = load_suite(Path("benchmarks/suites/starter.yaml"))
    assert len(loaded.tasks) == 1319
    assert loaded.classes == ("steps-1", "steps-2", "steps-3", "steps-4", "steps-5", "direct")
    assert loaded.grader.key("1+1=2;2") == "2"


def test_prompt_system_and_choices(tmp_path: Path) -> None:
    row = {**ROW, "choices": ["one", "two"], "answer": "B"}
    settings = {"prompt": "{question}\n{choices}", "system": "Be short.", "columns": {"choices": "choices"}}
    (task,) = load_suite(suite(tmp_path, [row], grader={"type": "choice"}, **settings)).tasks
    assert task.turns == (
        ({"role": "system", "content": "Be short."}, {"role": "user", "content": "1+1?\nA. one\nB. two"}),
    )


def test_conversations_and_turns(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hello"}]
    file = suite(tmp_path, [{**ROW, "messages": messages}], columns={"messages": "messages"})
    assert load_suite(file).tasks[0].turns == (tuple(messages),)
    file = suite(tmp_path, [{**ROW, "turns": ["a", "b"]}], columns={"turns": "turns"})
    assert [turn[0]["content"] for turn in load_suite(file).tasks[0].turns] == ["a", "b"]


@pytest.mark.parametrize(
    ("rows", "settings", "said"),
    [
        ([], {}, "holds no tasks"),
        ([ROW, ROW], {}, "the id '1' stands twice"),
        ([ROW, "{"], {}, "line 2: not valid JSON"),
        ([[1]], {}, "line 1: expected a JSON object"),
        ([{"id": "1", "class": "x", "question": "?"}], {}, "line 1: no 'answer'"),
        ([ROW], {"grader": {"type": "guess"}}, "grader"),
        ([ROW], {"grader": {"type": "numeric"}, "prompt": "no place"}, "{question} does not stand in it"),
        ([{**ROW, "answer": "two"}], {"grader": {"type": "numeric"}}, "line 1: the right answer 'two' holds no number"),
        ([ROW], {"columns": {"prompt": None}}, "exactly one of prompt, messages and turns"),
        ([ROW], {"colums": {}}, "unknown key"),
        ([{**ROW, "messages": "hello"}], {"columns": {"messages": "messages"}}, "is not a list of messages"),
    ],
)
def test_each_mistake_has_its_sentence(tmp_path: Path, rows: list[Any], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_suite(suite(tmp_path, rows, **settings))
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; name the YAML file of a suite"):
        load_suite(tmp_path / "none.yaml")
    file = suite(tmp_path, [ROW], items="other.jsonl")
    with pytest.raises(ConfigError, match=r"other\.jsonl.*can't be read"):
        load_suite(file)


def test_the_digest_changes_with_what_is_asked_and_not_with_other_columns(tmp_path: Path) -> None:
    first = load_suite(suite(tmp_path, [ROW])).digest
    assert load_suite(suite(tmp_path, [{**ROW, "note": "mine"}])).digest == first
    assert load_suite(suite(tmp_path, [{**ROW, "question": "1+2?"}])).digest != first


def test_a_part_is_taken_in_turn_from_each_class(tmp_path: Path) -> None:
    rows = [{**ROW, "id": f"{c}{i}", "class": c} for c in "ab" for i in range(3)]
    assert [t.task_id for t in spread(load_suite(suite(tmp_path, rows)).tasks, 3)] == ["a0", "b0", "a1"]
