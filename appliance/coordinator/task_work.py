"""Carries out one task: attempts, each result judged and, where it fails, tried again."""

from __future__ import annotations

from typing import Protocol

from appliance.coordinator.answer_stream import say_result
from appliance.coordinator.ask import Ask
from appliance.coordinator.attempts import Attempt, NextAttempt, best, executor_ask, next_attempt, rejected, unusable
from appliance.coordinator.budget import Need
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.critical_path import calls_after
from appliance.coordinator.judge import Judge
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.sampling import seed_of
from appliance.coordinator.task_graph import TaskInput
from appliance.domain.model import Role
from appliance.errors import ApplianceError, BudgetExhausted

_SHOWN_CHARS = 120


class Leave(Protocol):
    """When a call may be made, and what it must leave in the budget."""

    async def __call__(self, *, optional: bool) -> Need:
        """Return when it may; `optional`: the answer can do without it."""


class Unverified(ApplianceError):
    """No attempt at a task passed verification. Stays inside the coordinator, which plans again."""

    def __init__(self, task: TaskInput, attempts: int) -> None:
        super().__init__(f"{task.task_id}: none of {attempts} attempts passed")
        self.task = task


class TaskWork:
    """Works on the tasks of one graph.

    `leave` says, when a call may be made, what it must leave in the budget. `optional`: the whole graph stands in for
    another one. `strict`: a task without an attempt that passes raises Unverified.
    """

    def __init__(self, run: Run, leave: Leave, *, optional: bool = False) -> None:
        self._run = run
        self._leave = leave
        self._optional = optional
        self._judge = Judge(run, lambda: leave(optional=True))
        self.strict = False

    async def accepted(self, task: TaskInput, attempts: list[Attempt]) -> Attempt:
        """Try until an attempt is accepted, or until tries, budget or engines are used up; then the best one."""
        while (coming := self._coming(task, attempts)) is not None:
            try:
                attempt = await self._attempt(task, attempts, coming)
            except (RoleFailed, BudgetExhausted):
                if best(attempts) is None:
                    raise
                break
            attempts.append(attempt)
            if self._run.request.show_progress:
                self._run.progress(_line(task, attempt))
            if attempt.accepted:
                return attempt
        if self.strict:
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

    def _coming(self, task: TaskInput, attempts: list[Attempt]) -> NextAttempt | None:
        options = self._run.options
        executors, limits = options.roles.executors[task.skill], options.sampling_of(Role.EXECUTOR)
        return next_attempt(executors, attempts, limits, options.verification)

    async def _attempt(self, task: TaskInput, attempts: list[Attempt], coming: NextAttempt) -> Attempt:
        options, number, shown = self._run.options, len(attempts) + 1, rejected(attempts)
        limits = options.sampling_of(Role.EXECUTOR)
        seed = seed_of(self._run.seed_base, task.task_id, number) if coming.temperature > 0 else 0
        optional = number > 1 or self._optional
        keep = await self._leave(optional=optional)
        after = calls_after(options, Role.EXECUTOR, task.tasks_after)
        purpose = CallPurpose(Role.EXECUTOR, task.task_id, number, keep, optional, after)

        def ask_for(prompts: PromptSet) -> Ask:
            return executor_ask(prompts, task, limits, coming.temperature, seed, shown)

        if task.last and not self._judge.may_reject(task, coming.models):
            return Attempt(number, await say_result(self._run, purpose, coming.models, ask_for), None)
        made = await self._run.complete(purpose, coming.models, ask_for)
        result = self._run.prompt_sets[made.model_id].answer_of(made.text)
        judgement = await self._judge.judge(task, number, result, made.finish_reason, author=made.model_id)
        usable = not unusable(result, made.finish_reason)
        return Attempt(number, result, judgement, usable, made.model_id)


def _line(task: TaskInput, attempt: Attempt) -> str:
    mark = ""
    if attempt.judgement is not None:
        mark = f" {'✓' if attempt.accepted else '✗'} {attempt.probability:.2f}"
    return f"{task.task_id} {task.skill} {_short(task.instruction)} → {_short(attempt.result)}{mark}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 1]}…"
