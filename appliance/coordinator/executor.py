"""Runs a task graph: every ready task at once, from the first step on while the plan is still being written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from appliance.coordinator.attempts import Attempt
from appliance.coordinator.budget import NOTHING, Need
from appliance.coordinator.critical_path import TYPICAL_TASKS, calls_left
from appliance.coordinator.plan_place import Place
from appliance.coordinator.reserve import first_attempts, fits, open_plan, plus, synthesis
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.synthesizer import TaskResult
from appliance.coordinator.task_graph import Task, TaskGraph, TaskInput, substitute
from appliance.coordinator.task_work import TaskWork, Unverified
from appliance.domain.model import Role
from appliance.domain.trace import Outcome, TaskRecord
from appliance.errors import BudgetExhausted

PlannedAgain = Callable[[Task, TaskInput, Callable[[], Need]], Awaitable[TaskResult | None]]
"""A task's own plan: its result, or None; what the plan must leave in the budget is asked anew for each call."""


@dataclass(frozen=True, slots=True)
class Done:
    """A task that was carried out as planned, after so many attempts; one of them was accepted, if any was made."""

    task: Task
    result: TaskResult
    attempts: int = 0
    accepted_attempt: int | None = None


class Executor:
    """Executes one graph for one request. Steps are added one by one; `seal` says that these are all.

    `place` is where its plan stands. One that stands in for other work must leave `reserve` in the budget for it.
    `done` is earlier work, taken over for a step that is the same in all but its place. Tasks whose role is to plan go
    to `planned_again` first.

    While the plan is open it may still be rejected, so no call is made that leaves less than a second plan with
    `max_tasks` needs: it waits for the seal instead. Whether a failure counts is not known before that either.
    """

    def __init__(
        self,
        run: Run,
        planned_again: PlannedAgain,
        *,
        place: Place,
        reserve: Callable[[], Need],
        done: Mapping[str, Done],
        max_tasks: int,
    ) -> None:
        self._run = run
        self._planned_again = planned_again
        self._place = place
        self._reserve = reserve
        self._earlier = done
        self._max_tasks = max_tasks
        self._work = TaskWork(run, self._leave, optional=bool(place.prefix))
        self._tasks: list[Task] = []
        self._unmet: dict[str, int] = {}
        self._waiting: dict[str, list[Task]] = {}
        self._chars = 0
        self._sealed = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._attempts: dict[str, list[Attempt]] = {}
        self.done: dict[str, Done] = {}
        self._begun: set[str] = set()
        self._planning: set[str] = set()
        self._moot: frozenset[str] = frozenset()
        self._after: Mapping[str, int] | None = None

    def add(self, task: Task) -> None:
        """One more task; it begins at once where its needs are met."""
        self._tasks.append(task)
        self._chars += len(task.instruction)
        self._attempts[task.task_id] = []
        self._run.recorder.planned(self._record_of(task, task.instruction, Outcome.SKIPPED, None, 0))
        self._unmet[task.task_id] = 0
        for need in task.needs:
            if need not in self.done and need not in self._place.given:
                self._unmet[task.task_id] += 1
                self._waiting.setdefault(need, []).append(task)
        self._take_over(task)
        self._start_ready((task,))

    def begins(self, graph: TaskGraph) -> bool:
        """Whether the tasks so far are the first ones of `graph`."""
        return graph.tasks[: len(self._tasks)] == tuple(self._tasks)

    def seal(self, graph: TaskGraph) -> None:
        """The whole graph is known. Tasks whose results nobody will read are cancelled."""
        if not self._run.options.roles.synthesizer:
            self._moot = graph.moot()
        for task in graph.tasks[len(self._tasks) :]:
            self.add(task)
        self._sealed.set()
        self._tell_calls_left()
        for task_id in self._moot & self._running.keys():
            self._running[task_id].cancel()

    async def execute(self, *, strict: bool = False) -> tuple[TaskResult, ...]:
        """The results in the graph's order, once it is sealed. The first task that fails for good cancels the others.

        Where no attempt at a task passes verification, the likeliest result is taken, or, when `strict`, Unverified
        is raised; a second call goes on from what is there. Raises RoleFailed when no executor gave a usable result,
        BudgetExhausted when a first attempt does not fit.
        """
        self._work.strict = strict
        self._begun = set(self.done)
        try:
            async with asyncio.TaskGroup() as self._group:
                self._start_ready(self._tasks)
                await self._sealed.wait()
        except BaseExceptionGroup as failures:  # the group wraps what a task raised; that one goes on
            raise _first(failures) from None
        finally:
            self._group = None
        return tuple(self.done[t.task_id].result for t in self._tasks if t.task_id in self.done)

    def needed(self) -> Need:
        """What all else must leave: a first attempt of each task that none was made of, the synthesis, the reserve."""
        run, reserve = self._run, self._reserve()
        if self._sealed.is_set():
            unbegun = len(self._tasks) - len((self._begun - self._planning) | self._moot)
            need = plus(reserve, first_attempts(run.options, unbegun))
        else:
            need = plus(reserve, open_plan(run.options, run.question, self._max_tasks))
        return need if reserve is not NOTHING else plus(need, synthesis(run.options))

    def _take_over(self, task: Task) -> None:
        earlier = self._earlier.get(task.task_id)
        if earlier is None:
            return
        own = [need for need in task.needs if need not in self._place.given]
        same_inputs = all(need in self.done and self.done[need] is self._earlier.get(need) for need in own)
        if earlier.task == task and same_inputs:
            self.done[task.task_id] = earlier
            self._chars += len(earlier.result.result)
            self._begun.add(task.task_id)
            self._record(task, earlier.result.instruction, Outcome.OK, earlier)

    def _start_ready(self, tasks: Iterable[Task]) -> None:
        """Start those of `tasks` whose needs are met, but for what was begun before and what nobody will read."""
        if self._group is None:
            return
        for task in tasks:
            task_id = task.task_id
            if self._unmet[task_id] or task_id in self._begun or task_id in self._moot:
                continue
            self._begun.add(task_id)
            work = self._group.create_task(self._finish(task), name=f"task {self._place.shown(task_id)}")
            self._running[task_id] = work
            work.add_done_callback(partial(self._ended, task_id))

    def _ended(self, task_id: str, work: asyncio.Task[None]) -> None:
        del self._running[task_id]
        if work.cancelled() and not self._attempts[task_id]:
            self._begun.discard(task_id)  # its first attempt is still to be made, if it is wanted again

    async def _finish(self, task: Task) -> None:
        done = await self._settled(task)
        if done is None:
            return
        self.done[task.task_id] = done
        self._chars += len(done.result.result)
        self._tell_calls_left()
        waiting = self._waiting.pop(task.task_id, ())
        for other in waiting:
            self._unmet[other.task_id] -= 1
        self._start_ready(waiting)

    def _tell_calls_left(self) -> None:
        """Let the order of waiting calls know how much of the request is left, once that is known.

        The outermost plan tells; a task that is planned again counts as one there.
        """
        if self._sealed.is_set() and self._place.depth == 1:
            settled = len(self.done.keys() | self._moot) if self._moot else len(self.done)
            unfinished = len(self._tasks) - settled
            self._run.caller.calls_left = calls_left(self._run.options, unfinished)

    async def _settled(self, task: Task) -> Done | None:
        """The finished task; a failure while the plan is open waits for the seal, and is none when it is moot then."""
        if not self._sealed.is_set() and task.role is not Role.PLANNER:
            try:
                return await self._carried_out(task)
            except (RoleFailed, Unverified):
                await self._sealed.wait()
                if task.task_id in self._moot:
                    return None
                raise
            except BudgetExhausted:  # of what an open plan may spend
                pass
        await self._sealed.wait()
        return None if task.task_id in self._moot else await self._carried_out(task)

    async def _carried_out(self, task: Task) -> Done:
        """Carry out one task and record how it ended, whatever way."""
        given = self._input(task)
        done, outcome = None, Outcome.ERROR
        try:
            if task.role is Role.PLANNER:
                done = await self._by_its_plan(task, given)
            if done is None:
                done = self._chosen(task, given, await self._work.accepted(given, self._attempts[task.task_id]))
            outcome = Outcome.OK
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED
            raise
        finally:
            self._record(task, given.instruction, outcome, done)
        return done

    async def _by_its_plan(self, task: Task, given: TaskInput) -> Done | None:
        self._planning.add(task.task_id)
        try:
            result = await self._planned_again(task, given, self.needed)
        finally:
            self._planning.discard(task.task_id)
        if result is None:
            return None
        result = replace(result, task_id=task.task_id, skill=task.skill, instruction=given.instruction)
        return Done(task, result)

    def _chosen(self, task: Task, given: TaskInput, chosen: Attempt) -> Done:
        """Carried out by executors."""
        verified = chosen.judgement is not None and chosen.accepted
        result = TaskResult(task.task_id, task.skill, given.instruction, chosen.result, verified)
        return Done(task, result, len(self._attempts[task.task_id]), chosen.number)

    def _input(self, task: Task) -> TaskInput:
        given = self._place.given
        inputs = {need: given[need].result if need in given else self.done[need].result.result for need in task.needs}
        return TaskInput(
            task_id=self._place.shown(task.task_id),
            skill=task.skill,
            instruction=substitute(task.instruction, inputs),
            question=self._run.question,
            inputs=inputs,
            tasks_after=self._tasks_after(task),
            written=task.instruction,
            checks=task.checks_with(inputs, infer=self._run.options.verification.infer_checks),
            last=self._is_last(task),
        )

    def _tasks_after(self, task: Task) -> int:
        """Tasks at least that wait for it in a chain; a plan that is still being written is thought to go on."""
        if not self._sealed.is_set():
            followed = task.task_id in self._waiting  # most that begin so early are followed by nothing yet
            after = TaskGraph(tuple(self._tasks)).tasks_after()[task.task_id] if followed else 0
            return max(after, TYPICAL_TASKS - 1)
        if self._after is None:
            self._after = TaskGraph(tuple(self._tasks)).tasks_after()
        return self._after[task.task_id]

    def _is_last(self, task: Task) -> bool:
        """Whether the task's result is the answer. A step that began before the seal is not known to be the last."""
        outermost = self._place.depth == 1 and not self._place.prefix
        return (
            outermost and self._sealed.is_set() and task is self._tasks[-1] and not self._run.options.roles.synthesizer
        )

    def _record(self, task: Task, instruction: str, outcome: Outcome, done: Done | None) -> None:
        attempts = done.attempts if done is not None else len(self._attempts[task.task_id])
        self._run.recorder.task(self._record_of(task, instruction, outcome, done, attempts))

    def _record_of(
        self, task: Task, instruction: str, outcome: Outcome, done: Done | None, attempts: int
    ) -> TaskRecord:
        """As the trace may have it: the texts only where they are kept."""
        kept = self._run.recorder.keep_content
        return TaskRecord(
            task_id=self._place.shown(task.task_id),
            skill=task.skill,
            needs=self._place.all_shown(task.needs),
            outcome=outcome,
            attempts=attempts,
            accepted_attempt=done.accepted_attempt if done is not None else None,
            instruction=instruction if kept else None,
            result=done.result.result if kept and done is not None else None,
        )

    async def _leave(self, *, optional: bool) -> Need:
        """What a call must leave: all that is needed, or only the reserve where the answer can't do without it."""
        while not self._sealed.is_set() and not self._affordable():
            await self._sealed.wait()
        return self.needed() if optional or not self._sealed.is_set() else self._reserve()

    def _affordable(self) -> bool:
        run = self._run
        return fits(run.budget, run.options, len(run.question) + self._chars, self.needed())


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that stopped the others: the first one of the group, however deep."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
