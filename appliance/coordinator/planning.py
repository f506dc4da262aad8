"""Gets plans for one request: asks again when one is rejected, and for another one when results can't be verified."""

from __future__ import annotations

from appliance.coordinator.ask import Ask
from appliance.coordinator.budget import NOTHING, Need
from appliance.coordinator.calls import CallPurpose, Completion
from appliance.coordinator.critical_path import calls_after
from appliance.coordinator.planner import PLAN_ATTEMPTS, BadPlan, PlanningTask, planner_ask, read_plan
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.sampling import seed_of
from appliance.coordinator.task_graph import TaskGraph
from appliance.coordinator.task_work import Unverified
from appliance.domain.model import Role

_TASK_ID = "plan"


class Planning:
    """The planner's calls of one request."""

    def __init__(self, run: Run) -> None:
        roles, budget = run.options.roles, run.options.budget
        self._run = run
        self._task = PlanningTask(run.question, run.history, tuple(roles.executors), budget.tasks)
        self._calls = 0
        self._text = ""
        self._graphs: list[TaskGraph] = []

    async def plan(self) -> TaskGraph:
        """A plan that can be run. Raises RoleFailed after the last rejected one, and BudgetExhausted."""
        return await self._plan(None, NOTHING, "")

    async def another(self, doubt: Unverified, keep: Need, prefix: str) -> TaskGraph:
        """Another plan than those before, for which `keep` stays in the budget. Raises as `plan`.

        `prefix` comes before its ids in the trace.
        """
        reason = f"no result of {doubt.task.instruction!r} could be verified; the plan may be wrong"
        self._run.progress(f"{doubt}: planning again")
        return await self._plan(BadPlan(self._text, (reason,)), keep, prefix)

    async def _plan(self, bad: BadPlan | None, keep: Need, prefix: str) -> TaskGraph:
        run = self._run
        for _ in range(PLAN_ATTEMPTS):
            proposal = await self._proposal(bad, keep)
            plan = read_plan(proposal.text, self._task)
            if isinstance(plan, TaskGraph) and plan not in self._graphs:
                self._text = proposal.text
                self._graphs.append(plan)
                run.recorder.planned(plan, prefix)
                count = len(plan.tasks)
                run.progress(f"planner {proposal.model_id}: {count} {'task' if count == 1 else 'tasks'}")
                return plan
            reasons = ("the same plan again",) if isinstance(plan, TaskGraph) else plan.reasons
            bad = BadPlan(proposal.text, reasons)
            run.progress(f"planner {proposal.model_id}: plan {self._calls} rejected: {'; '.join(reasons)}")
        reasons = bad.reasons if bad else ()
        raise RoleFailed(Role.PLANNER, f"{PLAN_ATTEMPTS} plans rejected, the last one: {'; '.join(reasons)}")

    async def _proposal(self, bad: BadPlan | None, keep: Need) -> Completion:
        run = self._run
        self._calls += 1
        sampling, number = run.options.sampling_of(Role.PLANNER), self._calls
        seed = seed_of(run.seed_base, _TASK_ID, number)

        def ask_for(prompts: PromptSet) -> Ask:
            return planner_ask(prompts, self._task, sampling, run.options.verification.repair_temperature, seed, bad)

        after = calls_after(run.options, Role.PLANNER)
        purpose = CallPurpose(Role.PLANNER, _TASK_ID, number, keep, optional=keep is not NOTHING, calls_after=after)
        return await run.complete(purpose, run.options.roles.planner, ask_for)
