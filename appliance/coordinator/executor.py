"""Runs a task graph: every ready task at once, from the first step on while the plan is still being written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from appliance.coordinator.attempts import Attempt
from appliance.coordinator.budget import NOTHING, Need
from appliance.coordinator.critical_path import TYPICAL_TASKS
from appliance.coordinator.reserve import first_attempts, fits, open_plan, plus, synthesis
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.synthesizer import TaskResult
from appliance.coordinator.task_graph import Task, TaskGraph, TaskInput, substitute
from appliance.coordinator.task_work import TaskWork, Unverified
from appliance.domain.trace import Outcome, TaskRecord
from appliance.errors import BudgetExhausted


@dataclass(frozen=True, slots=True)
class Done:
    """A task that was carried out: as planned, with its inputs, and what it came to after how many attempts."""

    task: Task
    given: TaskInput
    chosen: Attempt
    attempts: int

    @property
    def result(self) -> TaskResult:
        """What others see of it."""
        given, verified = self.given, self.chosen.judgement is not None and self.chosen.accepted
        return TaskResult(self.task.task_id, given.skill, given.instruction, self.chosen.result, verified)


class Executor:
    """Executes one graph for one request. Steps are added one by one; `seal` says that these are all.

    Of a graph that stands in for another one, ids are shown with `prefix`, and `reserve` says what must stay in the
    budget for the other one. `done` is earlier work, taken over for a step that is the same in all but its place.

    While the plan is open it may still be rejected, so no call is made that leaves less than a second plan needs:
    it waits for the seal instead. Whether a failure counts is not known before that either.
    """

    def __init__(
        self,
        run: Run,
        *,
        prefix: str = "",
        reserve: Callable[[], Need] = lambda: NOTHING,
        done: Mapping[str, Done] | None = None,
    ) -> None:
        self._run = run
        self._prefix = prefix
        self._reserve = reserve
        self._earlier = done or {}
        self._work = TaskWork(run, self._leave, optional=bool(prefix))
        self._graph = TaskGraph(())
        self._sealed = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._attempts: dict[str, list[Attempt]] = {}
        self._done: dict[str, Done] = {}
        self._begun: set[str] = set()
        self._moot: frozenset[str] = frozenset()

    def add(self, task: Task) -> None:
        """One more task; it begins at once where its needs are met."""
        self._graph = TaskGraph((*self._graph.tasks, task))
        self._attempts[task.task_id] = []
        self._run.recorder.planned(task, self._prefix)
        self._take_over(task)
        self._start_ready()

    def begins(self, graph: TaskGraph) -> bool:
        """Whether the tasks so far are the first ones of `graph`."""
        return graph.tasks[: len(self._graph.tasks)] == self._graph.tasks

    def seal(self, graph: TaskGraph) -> None:
        """The whole graph is known. Tasks whose results nobody will read are cancelled."""
        if not self._run.options.roles.synthesizer:
            self._moot = graph.moot()
        for task in graph.tasks[len(self._graph.tasks) :]:
            self.add(task)
        self._sealed.set()
        for task_id in self._moot & self._running.keys():
            self._running[task_id].cancel()

    def done(self) -> Mapping[str, Done]:
        """What is finished, by task id."""
        return self._done

    async def execute(self, *, strict: bool = False) -> tuple[TaskResult, ...]:
        """The results in the graph's order, once it is sealed. The first task that fails for good cancels the others.

        Where no attempt at a task passes verification, the likeliest result is taken, or, when `strict`, Unverified
        is raised; a second call goes on from what is there. Raises RoleFailed when no executor gave a usable result,
        BudgetExhausted when a first attempt does not fit.
        """
        self._work.strict = strict
        self._begun = set(self._done)
        try:
            async with asyncio.TaskGroup() as self._group:
                self._start_ready()
                await self._sealed.wait()
        except BaseExceptionGroup as failures:  # the group wraps what a task raised; that one goes on
            raise _first(failures) from None
        finally:
            self._group = None
        return tuple(self._done[t.task_id].result for t in self._graph.tasks if t.task_id in self._done)

    def needed(self) -> Need:
        """What all else must leave: a first attempt of each task that has not begun, the synthesis, the reserve."""
        run, reserve = self._run, self._reserve()
        if self._sealed.is_set():
            unbegun = sum(t.task_id not in self._begun | self._moot for t in self._graph.tasks)
            need = plus(reserve, first_attempts(run.options, unbegun))
        else:
            need = plus(reserve, open_plan(run.options, run.question))
        return need if reserve is not NOTHING else plus(need, synthesis(run.options))

    def _take_over(self, task: Task) -> None:
        earlier = self._earlier.get(task.task_id)
        same_inputs = all(need in self._done and self._done[need] is self._earlier.get(need) for need in task.needs)
        if earlier is not None and earlier.task == task and same_inputs:
            self._done[task.task_id] = earlier
            self._begun.add(task.task_id)
            self._record(task, earlier.given, earlier.attempts, earlier.chosen, Outcome.OK)

    def _start_ready(self) -> None:
        if self._group is None:
            return
        for task in self._graph.ready(self._done.keys(), self._begun | self._moot):
            self._begun.add(task.task_id)
            work = self._group.create_task(self._finish(task), name=f"task {self._prefix}{task.task_id}")
            self._running[task.task_id] = work
            work.add_done_callback(partial(self._ended, task.task_id))

    def _ended(self, task_id: str, work: asyncio.Task[None]) -> None:
        del self._running[task_id]
        if work.cancelled() and not self._attempts[task_id]:
            self._begun.discard(task_id)  # its first attempt is still to be made, if it is wanted again

    async def _finish(self, task: Task) -> None:
        done = await self._settled(task)
        if done is not None:
            self._done[task.task_id] = done
            self._start_ready()

    async def _settled(self, task: Task) -> Done | None:
        """The finished task; a failure while the plan is open waits for the seal, and is none when it is moot then."""
        if not self._sealed.is_set():
            try:
                return await self._carried_out(task)
            except (RoleFailed, Unverified):
                await self._sealed.wait()
                if task.task_id in self._moot:
                    return None
                raise
            except BudgetExhausted:  # of what an open plan may spend
                await self._sealed.wait()
        return None if task.task_id in self._moot else await self._carried_out(task)

    async def _carried_out(self, task: Task) -> Done:
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
            self._record(task, given, len(attempts), chosen, outcome)
        return Done(task, given, chosen, len(attempts))

    def _input(self, task: Task) -> TaskInput:
        inputs = {need: self._done[need].chosen.result for need in task.needs}
        instruction = substitute(task.instruction, inputs)
        after = self._graph.tasks_after()[task.task_id]
        if not self._sealed.is_set():
            after = max(after, TYPICAL_TASKS - 1)
        checks = task.checks_with(inputs, infer=self._run.options.verification.infer_checks)
        return TaskInput(
            self._prefix + task.task_id, task.skill, instruction, self._run.question, inputs, after, checks
        )

    def _record(self, task: Task, given: TaskInput, attempts: int, chosen: Attempt | None, outcome: Outcome) -> None:
        self._run.recorder.task(
            TaskRecord(
                task_id=given.task_id,
                skill=task.skill,
                needs=tuple(self._prefix + need for need in task.needs),
                outcome=outcome,
                attempts=attempts,
                accepted_attempt=chosen.number if chosen else None,
                instruction=given.instruction,
                result=chosen.result if chosen else None,
            )
        )

    async def _leave(self, *, optional: bool) -> Need:
        """What a call must leave: all that is needed, or only the reserve where the answer can't do without it."""
        while not self._sealed.is_set() and not self._affordable():
            await self._sealed.wait()
        return self.needed() if optional or not self._sealed.is_set() else self._reserve()

    def _affordable(self) -> bool:
        run = self._run
        chars = len(run.question) + sum(len(t.instruction) for t in self._graph.tasks)
        chars += sum(len(done.chosen.result) for done in self._done.values())
        return fits(run.budget, run.options, chars, self.needed())


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that stopped the others: the first one of the group, however deep."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
