"""Runs a task graph: every ready task at once, each result judged and, where it fails, tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.coordinator.attempts import Attempt, best, executor_ask, unusable
from appliance.coordinator.budget import NOTHING, Need
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.judge import Judge
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.sampling import seed_of
from appliance.coordinator.synthesizer import TaskResult
from appliance.coordinator.task_graph import Task, TaskGraph, TaskInput, substitute
from appliance.domain.model import Role
from appliance.domain.trace import Outcome, TaskRecord
from appliance.errors import ApplianceError, BudgetExhausted

_SHOWN_CHARS = 120


class Unverified(ApplianceError):
    """No attempt at a task passed verification. Stays inside the coordinator, which plans again."""

    def __init__(self, task: TaskInput, attempts: int) -> None:
        super().__init__(f"{task.task_id}: none of {attempts} attempts passed")
        self.task = task


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
        self._strict = False
        self._judge = Judge(run, self.needed)
        self._attempts: dict[str, list[Attempt]] = {task.task_id: [] for task in graph.tasks}
        self._results: dict[str, TaskResult] = {}
        self._begun: set[str] = set()

    async def execute(self, *, strict: bool = False) -> tuple[TaskResult, ...]:
        """The results in the graph's order. The first task that fails for good cancels the others.

        Where no attempt at a task passes verification, the likeliest result is taken, or, when `strict`, Unverified
        is raised; a second call goes on from what is there. Raises RoleFailed when no executor gave a usable result,
        BudgetExhausted when a first attempt does not fit.
        """
        self._strict = strict
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
            chosen = await self._accepted(given, attempts)
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
        return TaskInput(self._prefix + task.task_id, task.skill, instruction, self._run.question, inputs)

    async def _accepted(self, task: TaskInput, attempts: list[Attempt]) -> Attempt:
        """Try until an attempt is accepted, or until tries, budget or engines are used up; then the best one."""
        for number in range(len(attempts) + 1, self._run.options.verification.repair_attempts + 2):
            try:
                attempt = await self._attempt(task, number)
            except (RoleFailed, BudgetExhausted):
                if best(attempts) is None:
                    raise
                break
            attempts.append(attempt)
            self._run.progress(_line(task, attempt))
            if attempt.accepted:
                return attempt
        if self._strict:
            raise Unverified(task, len(attempts))
        return self._least_bad(task, attempts)

    def _least_bad(self, task: TaskInput, attempts: list[Attempt]) -> Attempt:
        chosen = best(attempts)
        if chosen is None:
            raise RoleFailed(Role.EXECUTOR, f"{task.task_id}: {len(attempts)} attempts gave no usable result")
        self._run.recorder.fallback(
            Role.VERIFIER,
            f"{task.task_id}: none of {len(attempts)} attempts passed",
            f"attempt {chosen.number} is taken, the likeliest ({chosen.probability:.2f})",
        )
        return chosen

    async def _attempt(self, task: TaskInput, number: int) -> Attempt:
        options = self._run.options
        limits = options.sampling_of(Role.EXECUTOR)
        temperature = limits.temperature if number == 1 else options.verification.repair_temperature
        seed = seed_of(self._run.seed_base, task.task_id, number)
        optional = number > 1 or bool(self._prefix)
        made = await self._run.complete(
            CallPurpose(Role.EXECUTOR, task.task_id, number, self.needed() if optional else self._reserve(), optional),
            options.roles.executors[task.skill],
            lambda prompts: executor_ask(prompts, task, limits, temperature, seed),
        )
        result = self._run.prompt_sets[made.model_id].answer_of(made.text)
        judgement = await self._judge.judge(task, number, result, made.finish_reason)
        return Attempt(number, result, judgement, usable=not unusable(result, made.finish_reason))

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


def _line(task: TaskInput, attempt: Attempt) -> str:
    mark = ""
    if attempt.judgement is not None:
        mark = f" {'✓' if attempt.accepted else '✗'} {attempt.probability:.2f}"
    return f"{task.task_id} {task.skill} {_short(task.instruction)} → {_short(attempt.result)}{mark}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 1]}…"


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that stopped the others: the first one of the group, however deep."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
