"""Runs a task graph: every ready task at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.coordinator.attempts import Attempt
from appliance.coordinator.budget import NOTHING, Need
from appliance.coordinator.run import Run
from appliance.coordinator.synthesizer import TaskResult
from appliance.coordinator.task_graph import Task, TaskGraph, TaskInput, substitute
from appliance.coordinator.task_work import TaskWork
from appliance.domain.model import Role
from appliance.domain.trace import Outcome, TaskRecord


class Executor:
    """Executes one graph for one request.

    Of a graph that stands in for another one, ids are shown with `prefix`, and `reserve` says what must stay in the
    budget for the other one.
    """

    def __init__(
        self, run: Run, graph: TaskGraph, *, prefix: str = "", reserve: Callable[[], Need] = lambda: NOTHING
    ) -> None:
        self._run = run
        self._graph = graph
        self._prefix = prefix
        self._reserve = reserve
        self._work = TaskWork(run, self.needed, reserve, optional=bool(prefix))
        self._tasks_after = graph.tasks_after()
        self._attempts: dict[str, list[Attempt]] = {task.task_id: [] for task in graph.tasks}
        self._results: dict[str, TaskResult] = {}
        self._begun: set[str] = set()

    async def execute(self, *, strict: bool = False) -> tuple[TaskResult, ...]:
        """The results in the graph's order. The first task that fails for good cancels the others.

        Where no attempt at a task passes verification, the likeliest result is taken, or, when `strict`, Unverified
        is raised; a second call goes on from what is there. Raises RoleFailed when no executor gave a usable result,
        BudgetExhausted when a first attempt does not fit.
        """
        self._work.strict = strict
        self._begun = set(self._results)
        try:
            async with asyncio.TaskGroup() as group:
                self._start_ready(group)
        except BaseExceptionGroup as failures:  # the group wraps what a task raised; that one goes on
            raise _first(failures) from None
        return tuple(self._results[task.task_id] for task in self._graph.tasks)

    def _start_ready(self, group: asyncio.TaskGroup) -> None:
        for task in self._graph.ready(self._results.keys(), self._begun):
            self._begun.add(task.task_id)
            group.create_task(self._finish(task, group), name=f"task {task.task_id}")

    async def _finish(self, task: Task, group: asyncio.TaskGroup) -> None:
        self._results[task.task_id] = await self._carried_out(task)
        self._start_ready(group)

    async def _carried_out(self, task: Task) -> TaskResult:
        """Carry out one task and record how it ended, whatever way."""
        given, attempts = self._input(task), self._attempts[task.task_id]
        chosen, outcome = None, Outcome.ERROR
        try:
            chosen = await self._work.accepted(given, attempts)
            outcome = Outcome.OK
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED
            raise
        finally:
            self._record(task, given, attempts, chosen, outcome)
        verified = chosen.judgement is not None and chosen.accepted
        return TaskResult(task.task_id, task.skill, given.instruction, chosen.result, verified)

    def _input(self, task: Task) -> TaskInput:
        inputs = {need: self._results[need].result for need in task.needs}
        instruction = substitute(task.instruction, inputs)
        after = self._tasks_after[task.task_id]
        checks = task.checks_with(inputs, infer=self._run.options.verification.infer_checks)
        return TaskInput(
            self._prefix + task.task_id, task.skill, instruction, self._run.question, inputs, after, checks
        )

    def _record(
        self, task: Task, given: TaskInput, attempts: list[Attempt], chosen: Attempt | None, outcome: Outcome
    ) -> None:
        self._run.recorder.task(
            TaskRecord(
                task_id=given.task_id,
                skill=task.skill,
                needs=tuple(self._prefix + need for need in task.needs),
                outcome=outcome,
                attempts=len(attempts),
                accepted_attempt=chosen.number if chosen else None,
                instruction=given.instruction,
                result=chosen.result if chosen else None,
            )
        )

    def needed(self) -> Need:
        """What all else must leave: a first attempt of each task that has not begun, the synthesis, the reserve."""
        options, unbegun = self._run.options, len(self._graph.tasks) - len(self._begun)
        reserve = self._reserve()
        need = Need(reserve.calls + unbegun, reserve.tokens + unbegun * options.sampling_of(Role.EXECUTOR).max_tokens)
        if not options.roles.synthesizer or reserve is not NOTHING:
            return need
        return Need(need.calls + 1, need.tokens + options.sampling_of(Role.SYNTHESIZER).max_tokens)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that stopped the others: the first one of the group, however deep."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
