"""One engine as the supervisor keeps it: what is observed of it, its process, and the tasks that work on it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from appliance.domain.engine import EngineSpec, EngineState, EngineStatus
from appliance.engines.launcher import EngineHandle, status_of
from appliance.supervisor.engine_state import advance
from appliance.supervisor.reconcile import Observed
from appliance.supervisor.work import Job


@dataclass(slots=True)
class KeptEngine:
    """Touched by the supervisor's task only. `run` tells news from those of work that was dropped.

    `probe` is the task among `tasks` that looks for tokens, which an engine makes only while it is awake.
    """

    observed: Observed
    started_s: float = 0.0
    run: int = 0
    api_key: str = ""
    handle: EngineHandle | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    probe: asyncio.Task[None] | None = None

    @property
    def spec(self) -> EngineSpec:
        """As it runs, which may differ from what is wanted now."""
        return self.observed.spec

    @property
    def state(self) -> EngineState:
        """Where it is in its life."""
        return self.observed.state

    def move(self, state: EngineState, detail: str, now_s: float, *, settling: bool) -> None:
        """To another state; IllegalTransition where none leads there."""
        self.observed = replace(
            self.observed, state=advance(self.state, state), since_s=now_s, settling=settling, detail=detail
        )

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work on it in a task of its own."""
        task = asyncio.create_task(work, name=f"{self.spec.engine_id} run {self.run}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def drop_work(self) -> tuple[asyncio.Task[None], ...]:
        """End all work on it, and return it: it may take a while to end.

        What it has still to tell belongs to an earlier run then.
        """
        dropped = tuple(self.tasks)
        for task in dropped:
            task.cancel()
        self.run += 1
        return dropped

    def job(self) -> Job:
        """What a piece of work must know of it."""
        return Job(self.spec, self.run, self.status(), self.handle)

    def status(self) -> EngineStatus:
        """For the fleet."""
        pid = None if self.handle is None else self.handle.pid
        return replace(status_of(self.spec, self.api_key, self.state), pid=pid, detail=self.observed.detail)
