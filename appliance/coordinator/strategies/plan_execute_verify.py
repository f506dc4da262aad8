"""A planner splits the question, executors carry out the steps, a verifier checks them; then the answer is written."""

from __future__ import annotations

from dataclasses import replace

from appliance.coordinator.ask import Ask
from appliance.coordinator.calls import CallPurpose, Completion
from appliance.coordinator.executor import Executor
from appliance.coordinator.planner import PLAN_ATTEMPTS, BadPlan, PlanningTask, planner_ask, read_plan
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.sampling import seed_of
from appliance.coordinator.strategies.streaming import stream_answer
from appliance.coordinator.synthesizer import TaskResult, synthesizer_ask
from appliance.coordinator.task_graph import TaskGraph
from appliance.domain.model import Role
from appliance.domain.request import ContentDelta
from appliance.errors import BudgetExhausted


class PlanExecuteVerify:
    """Plan → execute and verify → synthesise."""

    async def answer(self, run: Run) -> str:
        """Say the progress as it is made, then the answer."""
        graph = await _plan(run)
        results = await Executor(run, graph).execute()
        return await _synthesis(run, results)


async def _plan(run: Run) -> TaskGraph:
    """A plan that can be run. Raises RoleFailed after the last rejected one."""
    roles, budget = run.options.roles, run.options.budget
    task = PlanningTask(run.question, run.history, tuple(roles.executors), budget.tasks)
    bad: BadPlan | None = None
    for attempt in range(1, PLAN_ATTEMPTS + 1):
        proposal = await _proposal(run, task, attempt, bad)
        plan = read_plan(proposal.text, task)
        if isinstance(plan, TaskGraph):
            run.recorder.planned(plan)
            count = len(plan.tasks)
            run.progress(f"planner {proposal.model_id}: {count} {'task' if count == 1 else 'tasks'}")
            return plan
        bad = BadPlan(proposal.text, plan.reasons)
        run.progress(f"planner {proposal.model_id}: plan {attempt} rejected: {'; '.join(plan.reasons)}")
    reasons = "; ".join(bad.reasons) if bad else ""
    raise RoleFailed(Role.PLANNER, f"{PLAN_ATTEMPTS} plans rejected, the last one: {reasons}")


async def _proposal(run: Run, task: PlanningTask, attempt: int, bad: BadPlan | None) -> Completion:
    sampling = run.options.sampling_of(Role.PLANNER)
    seed = seed_of(run.seed_base, "plan", attempt)

    def ask_for(prompts: PromptSet) -> Ask:
        return planner_ask(prompts, task, sampling, run.options.verification.repair_temperature, seed, bad)

    return await run.complete(CallPurpose(Role.PLANNER, "plan", attempt), run.options.roles.planner, ask_for)


async def _synthesis(run: Run, results: tuple[TaskResult, ...]) -> str:
    """The answer from the results: the synthesizer's, or the final result itself where there is none."""
    if run.options.roles.synthesizer:
        try:
            return await _written(run, results)
        except BudgetExhausted as stop:
            if run.answer_begun:
                raise
            run.recorder.fallback(Role.SYNTHESIZER, str(stop), "the final task's result is the answer")
    run.say(ContentDelta(results[-1].result))
    return "stop"


async def _written(run: Run, results: tuple[TaskResult, ...]) -> str:
    limit = run.options.sampling_of(Role.SYNTHESIZER)
    sampling = replace(limit, max_tokens=run.bounded(limit.max_tokens))
    seed = seed_of(run.seed_base, "synthesis", 1)
    return await stream_answer(
        run,
        CallPurpose(Role.SYNTHESIZER, "synthesis"),
        run.options.roles.synthesizer,
        lambda prompts: synthesizer_ask(prompts, run.question, run.history, results, sampling, seed),
    )
