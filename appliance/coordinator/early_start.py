"""Carries out the steps of a plan while the planner still writes the rest of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from appliance.coordinator.budget import NOTHING, Need
from appliance.coordinator.executor import Done, Executor
from appliance.coordinator.run import Run
from appliance.coordinator.synthesizer import TaskResult
from appliance.coordinator.task_graph import Task, TaskGraph


class EarlyStart:
    """The work on one plan, from its first step on; `async with` ends all of it.

    What was finished for a rejected plan is taken over where the next plan has the same step. `prefix`, `reserve` and
    `strict` are the executor's.
    """

    def __init__(
        self, run: Run, *, strict: bool, prefix: str = "", reserve: Callable[[], Need] = lambda: NOTHING
    ) -> None:
        self._run = run
        self._strict = strict
        self._prefix = prefix
        self._reserve = reserve
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
            self._done = {**self._done, **self._executor.done()}
            self._executor = None

    def sealed(self, graph: TaskGraph) -> Executor:
        """The executor of the whole plan, to which no step is added any more."""
        if self._executor is not None and not self._executor.begins(graph):
            self.withdraw()  # the text held another list of steps than the one that was read early
        executor = self._begun()
        executor.seal(graph)
        return executor

    async def results(self) -> tuple[TaskResult, ...]:
        """The results of the sealed plan. Raises as `Executor.execute`."""
        return await self._works[-1]

    def _begun(self) -> Executor:
        if self._executor is None:
            self._executor = Executor(self._run, prefix=self._prefix, reserve=self._reserve, done=self._done)
            work = self._executor.execute(strict=self._strict)
            self._works.append(asyncio.create_task(work, name=f"plan {self._prefix}".strip()))
        return self._executor
