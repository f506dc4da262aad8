"""Gets plans for one request: asks again when one is rejected, and for another one when results can't be verified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from appliance.coordinator.ask import Ask
from appliance.coordinator.budget import NOTHING, Need
from appliance.coordinator.calls import CallPurpose, Completion, Hear
from appliance.coordinator.critical_path import calls_after
from appliance.coordinator.plan_stream import PlanReader
from appliance.coordinator.planner import PLAN_ATTEMPTS, BadPlan, PlanningTask, planner_ask, read_plan
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.sampling import seed_of
from appliance.coordinator.task_graph import PlanRejected, Task, TaskGraph
from appliance.coordinator.task_work import Unverified
from appliance.domain.model import Role

_SHOWN_CHARS = 4_000
"""Of a rejected plan, to the planner that repairs it: one that was cut may be very long."""


class Steps(Protocol):
    """Who wants the steps of a plan while it is written."""

    def add(self, task: Task) -> None:
        """One more step."""

    def withdraw(self) -> None:
        """The steps so far belong to no plan."""


class Planning:
    """The planner's calls for one task. `prefix` stands before what they are called in the trace."""

    def __init__(self, run: Run, task: PlanningTask, prefix: str = "") -> None:
        self._run = run
        self._task = task
        self._prefix = prefix
        self._task_id = f"{prefix}plan"
        self._calls = 0
        self._text = ""
        self._graphs: list[TaskGraph] = []

    async def plan(self, steps: Steps, keep: Need = NOTHING) -> TaskGraph:
        """A plan that can be run. Raises RoleFailed after the last rejected one, and BudgetExhausted.

        `steps` hears of its steps before; after a rejected plan they are withdrawn. `keep` stays in the budget.
        """
        return await self._plan(None, keep, steps)

    async def another(self, doubt: Unverified, keep: Need, steps: Steps) -> TaskGraph:
        """Another plan than those before, for which `keep` stays in the budget. Raises as `plan`."""
        reason = f"no result of {doubt.task.written!r} could be verified; the plan may be wrong"
        self._run.progress(f"{doubt}: planning again")
        return await self._plan(BadPlan(self._text, (reason,)), keep, steps)

    async def _plan(self, bad: BadPlan | None, keep: Need, steps: Steps) -> TaskGraph:
        run = self._run
        for _ in range(PLAN_ATTEMPTS):
            proposal, plan = await self._proposal(bad, keep, steps)
            if isinstance(plan, TaskGraph) and plan not in self._graphs:
                self._text = proposal.text
                self._graphs.append(plan)
                count = len(plan.tasks)
                run.progress(f"{self._prefix}planner {proposal.model_id}: {count} {'task' if count == 1 else 'tasks'}")
                return plan
            steps.withdraw()
            reasons = ("the same plan again",) if isinstance(plan, TaskGraph) else plan.reasons
            bad = BadPlan(proposal.text[:_SHOWN_CHARS], reasons)
            run.progress(
                f"{self._prefix}planner {proposal.model_id}: plan {self._calls} rejected: {'; '.join(reasons)}"
            )
        reasons = bad.reasons if bad else ()
        raise RoleFailed(Role.PLANNER, f"{PLAN_ATTEMPTS} plans rejected, the last one: {'; '.join(reasons)}")

    async def _proposal(
        self, bad: BadPlan | None, keep: Need, steps: Steps
    ) -> tuple[Completion, TaskGraph | PlanRejected]:
        run = self._run
        self._calls += 1
        sampling, number = run.options.sampling_of(Role.PLANNER), self._calls
        seed = seed_of(run.seed_base, self._task_id, number)
        listeners: list[_Listener] = []

        def ask_for(prompts: PromptSet) -> Ask:
            return planner_ask(prompts, self._task, sampling, run.options.verification.repair_temperature, seed, bad)

        def hear_anew() -> Hear:
            steps.withdraw()  # what a model wrote before it failed is no part of the next one's plan
            reader = PlanReader(self._task.skills, self._task.max_tasks, self._task.given)
            listeners.append(_Listener(reader, steps, self._graphs))
            return listeners[-1].hear

        after = calls_after(run.options, Role.PLANNER)
        purpose = CallPurpose(
            Role.PLANNER, self._task_id, number, keep, optional=keep is not NOTHING, calls_after=after
        )
        proposal = await run.complete(purpose, run.options.roles.planner, ask_for, hear_anew)
        reader = listeners[-1].reader
        return proposal, reader.cut or reader.graph(proposal.text) or read_plan(proposal.text, self._task)


class _Listener:
    """Hands the steps of one answer on, until it shows that they belong to no plan; an endless one is cut off.

    Steps that are those of a plan in `known` so far are held back: the same plan again is none.
    """

    def __init__(self, reader: PlanReader, steps: Steps, known: Sequence[TaskGraph]) -> None:
        self.reader = reader
        self._steps = steps
        self._known = known
        self._read: tuple[Task, ...] = ()
        self._told = 0

    def hear(self, text: str) -> bool:
        """Whether more of the answer is wanted."""
        steps = self.reader.push(text)
        if not steps and not self.reader.flaw:
            return True
        self._read += steps
        if self.reader.flaw:
            self._steps.withdraw()
        elif not any(graph.tasks[: len(self._read)] == self._read for graph in self._known):
            for task in self._read[self._told :]:
                self._steps.add(task)
            self._told = len(self._read)
        return self.reader.cut is None
