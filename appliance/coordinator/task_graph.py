"""A plan as data: tasks, what each needs from the others, and the checks that turn a planner's text into one. Pure.

The text is `{"steps": [{"id": "s1", "skill": "math", "do": "12*7"}, {"id": "s2", "skill": "math", "do": "$s1-5"}]}`:
`$s1` stands for the result of `s1`, `needs` (optional) names further steps to wait for, and the last step's result
is the final one. A step may need earlier steps only, so there are no cycles. `output` and `check` (optional, see
`checks.reading`) say what its result has to look like, `role` (optional, see `TASK_ROLES`) who carries it out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.coordinator.checks.checks import NO_CHECKS, Checks
from appliance.coordinator.checks.reading import read_checks
from appliance.coordinator.references import REFERENCE
from appliance.domain.model import Role

ID_PATTERN = "s[0-9A-Za-z]{1,12}"
"""Ids as planners may write them: `s1`, or after what the result is of, `sZoe`, which small models find again more
surely. Without an upper bound a lost model writes on to its last token."""

_ID = re.compile(r"s[0-9A-Za-z]+")
_KEYS = frozenset({"id", "skill", "do"})
_ALL_KEYS = _KEYS | {"needs", "output", "check", "role"}
TASK_ROLES = (Role.EXECUTOR, Role.PLANNER)
"""Who carries a task out: executors of its skill, or a planner, who makes a plan of its own for it."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task. `instruction` may hold `$id` references; `needs` are the tasks whose results it waits for.

    `checks` say what its result has to look like, `role` is one of `TASK_ROLES`.
    """

    task_id: str
    skill: str
    instruction: str
    needs: tuple[str, ...] = ()
    checks: Checks = NO_CHECKS
    role: Role = Role.EXECUTOR

    def checks_with(self, inputs: Mapping[str, str], *, infer: bool) -> Checks:
        """The checks with results filled in, and that of the instruction itself where it makes one (`infer`)."""
        checks = self.checks.inferred(self.instruction) if infer else self.checks
        return checks.filled(inputs)


@dataclass(frozen=True, slots=True)
class TaskGraph:
    """Tasks in an order in which each comes after what it needs; the last one's result is the final one."""

    tasks: tuple[Task, ...]

    @property
    def final(self) -> Task:
        """The task whose result answers the question."""
        return self.tasks[-1]

    def tasks_after(self) -> Mapping[str, int]:
        """Task id → tasks on the longest chain of those that wait for it; 0 where nothing does."""
        after = dict.fromkeys((task.task_id for task in self.tasks), 0)
        for task in reversed(self.tasks):
            for need in task.needs:
                if need in after:
                    after[need] = max(after[need], after[task.task_id] + 1)
        return after

    def moot(self) -> frozenset[str]:
        """The tasks that the final one does not need, not even through others."""
        wanted: set[str] = set()
        for task in reversed(self.tasks):
            if task is self.final or task.task_id in wanted:
                wanted.update((task.task_id, *task.needs))
        return frozenset(t.task_id for t in self.tasks) - wanted


@dataclass(frozen=True, slots=True)
class TaskInput:
    """A task with its references filled in; `written` is the instruction as the plan has it, where it has any.

    `inputs` are the results that it was given, by task id; `tasks_after` others at least wait for it in a chain. The
    result of the `last` one is the answer, unless somebody rejects it.
    """

    task_id: str
    skill: str
    instruction: str
    question: str
    inputs: Mapping[str, str]
    tasks_after: int = 0
    checks: Checks = NO_CHECKS
    written: str = ""
    last: bool = False


@dataclass(frozen=True, slots=True)
class PlanRejected:
    """The text is no plan that can be run. The reasons name steps by their place and never quote the text."""

    reasons: tuple[str, ...]


def substitute(instruction: str, results: Mapping[str, str]) -> str:
    """`instruction` with each reference replaced, in one pass: a result that looks like a reference stays as it is.

    Raises KeyError for a reference to a result that is not there.
    """
    return REFERENCE.sub(lambda match: results[match[1]], instruction) if "$" in instruction else instruction


def references(instruction: str) -> tuple[str, ...]:
    """The ids that an instruction refers to, each once, in order."""
    return tuple(dict.fromkeys(REFERENCE.findall(instruction)))


def parse_plan(
    text: str, skills: Collection[str], max_tasks: int, given: Collection[str] = ()
) -> TaskGraph | PlanRejected:
    """Read and check a planner's text. Steps may need the results `given` from outside, and have none of their ids."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        return PlanRejected((f"not valid JSON: {error.msg} at character {error.pos} of {len(text)}",))
    except (ValueError, RecursionError):
        return PlanRejected(("not valid JSON: a number or a nesting without end",))
    if not isinstance(document, dict) or set(document) != {"steps"} or not isinstance(document["steps"], list):
        return PlanRejected(('not an object with the one key "steps" and a list under it',))
    steps = document["steps"]
    if not steps:
        return PlanRejected(("no steps",))
    if len(steps) > max_tasks:
        return PlanRejected((f"{len(steps)} steps, but at most {max_tasks} are allowed",))
    read = [_task(step, skills) for step in steps]
    malformed = tuple(f"step {number}: {why}" for number, why in enumerate(read, 1) if isinstance(why, str))
    if malformed:
        return PlanRejected(malformed)
    tasks = tuple(task for task in read if isinstance(task, Task))
    problems = tuple(_misplaced(tasks, given))
    return PlanRejected(problems) if problems else TaskGraph(tasks)


def _malformed(step: Any, skills: Collection[str]) -> str:
    if not isinstance(step, dict) or not _KEYS <= step.keys() <= _ALL_KEYS:
        return "not an object with the keys id, skill and do"
    task_id, skill, instruction = step["id"], step["skill"], step["do"]
    if not (isinstance(task_id, str) and isinstance(skill, str) and isinstance(instruction, str)):
        return "id, skill and do must be strings"
    if not _ID.fullmatch(task_id):
        return "its id is not s and a number or word"
    if skill not in skills:
        return f"nobody has its skill; known: {', '.join(skills)}"
    if not instruction.strip():
        return "its instruction is empty"
    if len(step) == len(_KEYS):
        return ""
    needs = step.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs):
        return "needs must be a list of ids"
    if step.get("role", Role.EXECUTOR) not in TASK_ROLES:
        return f"its role is not one of {', '.join(TASK_ROLES)}"
    return ""


def read_step(step: Any, skills: Collection[str], before: Collection[str]) -> Task | str:
    """One step behind those named in `before`, or why it can't stand there."""
    task = _task(step, skills)
    if isinstance(task, str):
        return task
    if task.task_id in before:
        return "its id stands twice"
    for need in task.needs:
        if need not in before:
            return "needs itself or a step that does not come before it"
    return task


def _task(step: Any, skills: Collection[str]) -> Task | str:
    """One step by itself, or what is wrong with it."""
    problem = _malformed(step, skills)
    if problem:
        return problem
    checks = read_checks(step)
    if isinstance(checks, str):
        return checks
    needs = dict.fromkeys((*references(step["do"]), *step.get("needs", []), *checks.needs))
    role = Role(step["role"]) if "role" in step else Role.EXECUTOR
    return Task(step["id"], step["skill"], step["do"].strip(), tuple(needs), checks, role)


def _misplaced(tasks: tuple[Task, ...], given: Collection[str]) -> Iterator[str]:
    before = set(given)
    known = {task.task_id for task in tasks} | before
    for number, task in enumerate(tasks, 1):
        if task.task_id in before:
            yield f"step {number}: its id stands twice"
        for need in task.needs:
            if need not in known:
                yield f"step {number}: needs a step that is not there"
            elif need not in before:
                yield f"step {number}: needs itself or a later step"
        before.add(task.task_id)
