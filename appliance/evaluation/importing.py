"""Common shapes of question files → a suite of this house: a YAML file and JSONL with our own column names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from appliance.config.json_lines import json_lines
from appliance.errors import ConfigError
from appliance.evaluation.suite import ONE_CLASS, load_suite

Row = Mapping[str, Any]


class Shape(StrEnum):
    """What can be imported."""

    GSM8K = "gsm8k"
    """Lines with question and answer; the right number stands after `####`."""
    CHOICE = "choice"
    """Lines with question, choices (a list, or ARC's text and label) and answer (index, letter or text)."""
    MT_BENCH = "mt-bench"
    """Lines with question_id, category, turns and, where there are any, reference; graded by a judge."""
    OPENAI_EVALS = "openai-evals"
    """Lines with input (messages) and ideal (a text or a list)."""
    TRACES = "traces"
    """Kept traces as `GET /v1/traces/{id}` gives them, one a line: what callers asked, and what was answered."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """How one shape is read; `settings` is the rest of the suite's YAML file."""

    read: Callable[[int, Row], Row]
    settings: Mapping[str, Any]


def import_suite(shape: Shape, source: Path, directory: Path, name: str, judge: str | None = None) -> Path:
    """Write `NAME.yaml` and `NAME.jsonl` into `directory`; the path of the first. `judge` is the model that grades.

    Raises ConfigError, naming file and line; nothing is written then.
    """
    reader = _READERS[shape]
    settings = dict(reader.settings)
    if "grader" not in settings:
        if judge is None:
            raise ConfigError(f"{shape}: graded by a model; name one of the pool with --judge")
        settings["grader"] = {"type": "judge", "model": judge}
    rows = [_read(reader, source, number, row) for number, row in json_lines(source)]
    rows = [row for row in rows if row]
    if not rows:
        raise ConfigError(f"{source}: holds nothing that could be asked")
    suite, items = directory / f"{name}.yaml", directory / f"{name}.jsonl"
    for path in (suite, items):
        if path.exists():
            raise ConfigError(f"{path}: is there already; name another suite with --name, or move it away")
    directory.mkdir(parents=True, exist_ok=True)
    try:
        items.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        document = {"version": 1, "name": name, "items": items.name, **settings}
        suite.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
        load_suite(suite)
    except (OSError, ConfigError):
        suite.unlink(missing_ok=True)
        items.unlink(missing_ok=True)
        raise
    return suite


def _read(reader: _Reader, source: Path, number: int, row: Row) -> Row:
    try:
        return reader.read(number, row)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        missing = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{source}: line {number}: is not of this shape: {missing}") from None


def _gsm8k(number: int, row: Row) -> Row:
    answer = str(row["answer"]).rpartition("####")[2].strip()
    return {"id": str(row.get("id", number)), "question": str(row["question"]), "answer": answer}


def _choice(number: int, row: Row) -> Row:
    choices, key = row["choices"], row["answerKey"] if "answerKey" in row else row["answer"]
    if isinstance(choices, dict):
        labels = list(choices["label"])
        choices, key = list(choices["text"]), labels.index(key) if key in labels else key
    task_class = str(row.get("subject") or row.get("category") or ONE_CLASS)
    asked = {"id": str(row.get("id", number)), "class": task_class, "question": str(row["question"])}
    return {**asked, "choices": list(map(str, choices)), "answer": str(key)}


def _mt_bench(number: int, row: Row) -> Row:
    turns = list(map(str, row["turns"]))
    task = {"id": str(row.get("question_id", number)), "class": str(row.get("category", ONE_CLASS)), "turns": turns}
    return {**task, "reference": row["reference"]} if row.get("reference") else task


def _openai_evals(number: int, row: Row) -> Row:
    messages, ideal = row["input"], row["ideal"]
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return {"id": str(row.get("id", number)), "messages": messages, "answer": ideal}


def _trace(_number: int, row: Row) -> Row:
    """A trace without contents, or of a request that failed, has nothing to ask: it is left out."""
    if row["outcome"] != "ok" or not row.get("request") or not row.get("answer"):
        return {}
    messages = [{"role": m["role"], "content": m["content"], **m.get("extra", {})} for m in row["request"]["messages"]]
    strategy = str(row["decision"]["strategy"])
    return {"id": str(row["trace_id"]), "class": strategy, "messages": messages, "answer": str(row["answer"])}


_READERS = {
    Shape.GSM8K: _Reader(_gsm8k, {"grader": {"type": "numeric"}, "columns": {"class": None}}),
    Shape.CHOICE: _Reader(
        _choice,
        {
            "prompt": "{question}\n\n{choices}\n\nAnswer with the letter alone.",
            "columns": {"choices": "choices"},
            "grader": {"type": "choice"},
        },
    ),
    Shape.MT_BENCH: _Reader(_mt_bench, {"columns": {"turns": "turns", "answer": None, "reference": "reference"}}),
    Shape.OPENAI_EVALS: _Reader(
        _openai_evals, {"columns": {"messages": "messages", "class": None}, "grader": {"type": "exact"}}
    ),
    Shape.TRACES: _Reader(_trace, {"columns": {"messages": "messages"}}),
}
