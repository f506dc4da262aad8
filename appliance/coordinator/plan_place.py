"""Where a plan stands in the tree of plans of one request, and how many tasks that tree may still have. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.coordinator.task_graph import Task, TaskGraph, TaskInput, substitute
from appliance.domain.model import Role

LEAST_TASKS = 2
"""A plan of one task is the task itself."""


@dataclass(frozen=True, slots=True)
class Given:
    """A result from outside a plan: the id under which the trace shows its task, and the result."""

    shown_id: str
    result: str


@dataclass(frozen=True, slots=True)
class Place:
    """`prefix` stands before the ids of the plan's tasks; `depth` counts from 1.

    `given` are results of the plans above that its tasks may refer to, by the names that they have here.
    """

    prefix: str = ""
    depth: int = 1
    given: Mapping[str, Given] = field(default_factory=dict)

    def shown(self, task_id: str) -> str:
        """How the trace calls a task that one of this plan may need."""
        given = self.given.get(task_id)
        return self.prefix + task_id if given is None else given.shown_id

    def all_shown(self, task_ids: tuple[str, ...]) -> tuple[str, ...]:
        """The same for several."""
        return tuple([self.shown(name) for name in task_ids]) if self.prefix or self.given else task_ids


@dataclass(frozen=True, slots=True)
class SubPlan:
    """What a planner is asked for a task of another plan, and where its plan stands."""

    question: str
    place: Place


def below(place: Place, task: Task, given: TaskInput) -> SubPlan:
    """The plan for `task`, which stands at `place`.

    Its planner sees the references of the instruction, under names that no plan has, and none of the results: a plan
    is made before text of other models is read, so no such text can become an instruction to a planner.
    """
    names = {need: f"sGiven{number}" for number, need in enumerate(task.needs, 1)}
    question = substitute(task.instruction, {need: f"${name}" for need, name in names.items()})
    results = {name: Given(place.shown(need), given.inputs[need]) for need, name in names.items()}
    return SubPlan(question, Place(f"{place.prefix}{task.task_id}.", place.depth + 1, results))


def share_of(graph: TaskGraph, max_tasks: int) -> int:
    """The most tasks below each task of `graph` that is planned again, so that the whole tree has `max_tasks`.

    The rest is divided when the plan stands and never again: what a plan may have does not hang on who was first.
    """
    planners = sum(task.role is Role.PLANNER for task in graph.tasks)
    return (max_tasks - len(graph.tasks)) // max(1, planners)
