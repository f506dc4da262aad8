"""The work on one plan: from its first step on, while the planner still writes the rest, and on the plans below it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from appliance.coordinator.budget import NOTHING, Need
from appliance.coordinator.checks.checks import QUESTION
from appliance.coordinator.checks.examination import examine
from appliance.coordinator.executor import Done, Executor
from appliance.coordinator.plan_place import LEAST_TASKS, Place, SubPlan, below, share_of
from appliance.coordinator.planner import PlanningTask
from appliance.coordinator.planning import Planning
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.synthesizer import TaskResult
from appliance.coordinator.task_graph import Task, TaskGraph, TaskInput
from appliance.coordinator.task_work import Unverified
from appliance.domain.model import Role
from appliance.errors import BudgetExhausted


class PlanWork:
    """Carries out one plan; `async with` ends all that runs of it.

    What was finished for a rejected plan is taken over where the next plan has the same step. A plan that stands in
    for other work leaves `reserve` in the budget. `strict` is the executor's. With the plans below it has `max_tasks`.
    """

    def __init__(
        self,
        run: Run,
        *,
        strict: bool,
        place: Place | None = None,
        reserve: Callable[[], Need] = lambda: NOTHING,
        max_tasks: int | None = None,
    ) -> None:
        self._run = run
        self._strict = strict
        self._place = place or Place()
        self._reserve = reserve
        self._max_tasks = run.options.budget.tasks if max_tasks is None else max_tasks
        self._share = 0
        self._executor: Executor | None = None
        self._done: Mapping[str, Done] = {}
        self._works: list[asyncio.Task[tuple[TaskResult, ...]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for work in self._works:
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)  # how each of them ended was told elsewhere

    def add(self, task: Task) -> None:
        """One more step of the plan that is being written."""
        if self._run.options.early_start:
            self._begun().add(task)

    def withdraw(self) -> None:
        """The plan is none: what runs of it is cancelled now."""
        if self._executor is not None:
            self._works[-1].cancel()
            self._done = {**self._done, **self._executor.done}
            self._executor = None

    def sealed(self, graph: TaskGraph) -> Executor:
        """The executor of the whole plan, to which no step is added any more."""
        if self._executor is not None and not self._executor.begins(graph):
            self.withdraw()  # the text held another list of steps than the one that was read early
        self._share = share_of(graph, self._max_tasks)
        executor = self._begun()
        executor.seal(graph)
        return executor

    async def results(self) -> tuple[TaskResult, ...]:
        """The results of the sealed plan. Raises as `Executor.execute`."""
        return await self._works[-1]

    def _begun(self) -> Executor:
        if self._executor is None:
            self._executor = Executor(
                self._run,
                self._planned_again,
                place=self._place,
                reserve=self._reserve,
                done=self._done,
                max_tasks=self._max_tasks,
            )
            work = self._executor.execute(strict=self._strict)
            self._works.append(asyncio.create_task(work, name=f"plan {self._place.prefix}".strip()))
        return self._executor

    async def _planned_again(self, task: Task, given: TaskInput, keep: Callable[[], Need]) -> TaskResult | None:
        """The result of a task's own plan; None where an executor has to carry the task out, as the trace says then."""
        depth = self._run.budget.limits.depth
        if self._place.depth >= depth:
            problem = f"plans may stand {depth} deep"
        elif self._share < LEAST_TASKS:
            problem = "too few tasks are left for a plan of its own"
        else:
            sub = below(self._place, task, given)
            try:
                result = await self._sub_result(sub, keep)
            except (RoleFailed, BudgetExhausted, Unverified) as failure:
                problem = str(failure)
            else:
                decided = examine(given.checks, result.result, {**given.inputs, QUESTION: given.question})
                if decided is None or decided.right:
                    return result
                problem = decided.finding.reason
        self._run.recorder.fallback(Role.PLANNER, f"{given.task_id}: {problem}", "an executor carries it out")
        return None

    async def _sub_result(self, sub: SubPlan, keep: Callable[[], Need]) -> TaskResult:
        run, place = self._run, sub.place
        history = (*run.planners_history, {"role": "user", "content": run.question})
        nests = place.depth < run.budget.limits.depth
        skills, share = tuple(run.options.roles.executors), self._share
        wanted = PlanningTask(sub.question, history, skills, share, tuple(place.given), nests)
        async with PlanWork(run, strict=True, place=place, reserve=keep, max_tasks=share) as work:
            work.sealed(await Planning(run, wanted, place.prefix).plan(work, keep()))
            return (await work.results())[-1]
