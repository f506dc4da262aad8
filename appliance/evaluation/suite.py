"""A suite: tasks with right answers in a JSONL file, and a small YAML file that says how to ask and how to grade."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from appliance.config import describe
from appliance.config.json_lines import json_lines
from appliance.config.section import Section
from appliance.config.yaml_file import read_mapping
from appliance.domain.identifier import Identifier
from appliance.errors import ConfigError
from appliance.evaluation.grading.graders import Grader

ONE_CLASS = "all"


class Columns(Section):
    """Under which names the JSONL file has what a task is made of. What is not named here is never sent."""

    id: str = "id"
    task_class: str | None = Field("class", alias="class")
    """None: all tasks are of one class."""
    prompt: str | None = "question"
    """The text that `prompt` of the suite is filled with; None where `messages` is given."""
    messages: str | None = None
    """A whole conversation as OpenAI has it."""
    turns: str | None = None
    """Texts of the caller, one after the other; each is answered before the next one is sent."""
    answer: str | None = "answer"
    """The right answer, or a list of right ones; None where the grader needs none."""
    reference: str | None = None
    """As `answer`, but tasks may lack it: what a judge compares with."""
    choices: str | None = None
    """Answers to choose from; they are lettered A, B, C… below the question."""
    tests: str | None = None
    """Python code whose assertions the answered program must pass."""


class SuiteSettings(Section):
    """The YAML file of a suite."""

    version: Literal[1] = 1
    name: Identifier
    description: str = ""
    items: Path
    """The JSONL file, relative to this one."""
    prompt: str = "{question}"
    """What is asked; `{question}` and `{choices}` stand for the task's own."""
    system: str | None = None
    columns: Columns = Field(default_factory=Columns)
    grader: Grader
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Bound of each answer."""

    @model_validator(mode="after")
    def _asks(self) -> Self:
        ways = [name for name in ("prompt", "messages", "turns") if getattr(self.columns, name) is not None]
        if self.columns.messages is not None or self.columns.turns is not None:
            ways = [name for name in ways if name != "prompt" or "prompt" in self.columns.model_fields_set]
        if len(ways) != 1:
            raise ValueError(f"columns: exactly one of prompt, messages and turns is needed; found {ways or 'none'}")
        if self.columns.prompt is not None and "{question}" not in self.prompt:
            raise ValueError("prompt: {question} does not stand in it, so every task would be asked the same")
        return self


@dataclass(frozen=True, slots=True)
class Task:
    """One task. `turns` are conversations to be continued: each is a list of messages sent after the answer before."""

    task_id: str
    task_class: str
    turns: tuple[tuple[Mapping[str, Any], ...], ...]
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    tests: str = ""

    @property
    def text(self) -> str:
        """All that is asked, for finding tasks that stand in two suites."""
        return "\n".join(str(message.get("content", "")) for turn in self.turns for message in turn)


@dataclass(frozen=True, slots=True)
class Suite:
    """All tasks, in the order of the file, and how they are graded. `digest` changes with anything that is asked."""

    name: str
    tasks: tuple[Task, ...]
    grader: Grader
    max_tokens: int | None
    digest: str
    source: str = field(default="", compare=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of tasks, in the order in which they come first."""
        return tuple(dict.fromkeys(task.task_class for task in self.tasks))


def load_suite(path: Path) -> Suite:
    """Read and check a suite. Raises ConfigError, naming file, line and field."""
    settings = _settings(path)
    items = path.parent / settings.items
    tasks = tuple(_task(settings, items, number, row) for number, row in json_lines(items))
    if not tasks:
        raise ConfigError(f"{items}: holds no tasks; a line is a JSON object with id, class, question and answer")
    _no_id_twice(items, tasks)
    return Suite(settings.name, tasks, settings.grader, settings.max_tokens, _digest(settings, tasks), str(path))


def spread(tasks: Iterable[Task], number: int) -> tuple[Task, ...]:
    """The first `number` tasks, taken in turn from each class."""
    by_class: dict[str, list[Task]] = {}
    for task in tasks:
        by_class.setdefault(task.task_class, []).append(task)
    longest = max(map(len, by_class.values()), default=0)
    turns = [group[i] for i in range(longest) for group in by_class.values() if i < len(group)]
    return tuple(turns[:number])


def _settings(path: Path) -> SuiteSettings:
    expected = "a mapping with name, items and grader; see docs/evaluation.md"
    document = read_mapping(path, when_missing="name the YAML file of a suite", expected=expected)
    try:
        return SuiteSettings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from None


def _task(settings: SuiteSettings, path: Path, number: int, row: Mapping[str, Any]) -> Task:
    columns, where = settings.columns, f"{path}: line {number}"

    def need(column: str) -> Any:
        if row.get(column) in (None, ""):
            raise ConfigError(f"{where}: no {column!r}; name another column under `columns` of the suite, or add it")
        return row[column]

    choices = tuple(map(str, need(columns.choices))) if columns.choices is not None else ()
    answers = _listed(need(columns.answer)) if columns.answer is not None else ()
    if columns.reference is not None and row.get(columns.reference) is not None:
        answers = _listed(row[columns.reference])
    task = Task(
        task_id=str(need(columns.id)),
        task_class=str(need(columns.task_class)) if columns.task_class is not None else ONE_CLASS,
        turns=_turns(settings, row, need, choices, where),
        answers=answers,
        choices=choices,
        tests=str(need(columns.tests)) if columns.tests is not None else "",
    )
    if problem := settings.grader.problem(task.answers, task.choices, task.tests):
        raise ConfigError(f"{where}: {problem}")
    return task


def _turns(
    settings: SuiteSettings, row: Mapping[str, Any], need: Any, choices: tuple[str, ...], where: str
) -> tuple[tuple[Mapping[str, Any], ...], ...]:
    columns = settings.columns
    first = [{"role": "system", "content": settings.system}] if settings.system else []
    if columns.messages is not None:
        messages = need(columns.messages)
        if not isinstance(messages, list) or not all(isinstance(m, dict) and "role" in m for m in messages):
            raise ConfigError(f"{where}: {columns.messages!r} is not a list of messages with role and content")
        return ((*first, *messages),)
    if columns.turns is not None:
        texts = _listed(need(columns.turns))
    else:
        lettered = "\n".join(f"{letter}. {text}" for letter, text in zip(letters(len(choices)), choices, strict=True))
        texts = (settings.prompt.replace("{choices}", lettered).replace("{question}", str(need(str(columns.prompt)))),)
    turns = [[{"role": "user", "content": text}] for text in texts]
    turns[0] = [*first, *turns[0]]
    return tuple(map(tuple, turns))


def letters(count: int) -> str:
    """The letters of so many choices."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:count]


def _listed(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),)


def _no_id_twice(path: Path, tasks: tuple[Task, ...]) -> None:
    seen: set[str] = set()
    for task in tasks:
        if task.task_id in seen:
            raise ConfigError(f"{path}: the id {task.task_id!r} stands twice; give every task its own")
        seen.add(task.task_id)


def _digest(settings: SuiteSettings, tasks: tuple[Task, ...]) -> str:
    asked = [[task.task_id, task.task_class, task.turns, task.answers, task.choices, task.tests] for task in tasks]
    document = [settings.grader.model_dump(mode="json"), settings.max_tokens, asked]
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
