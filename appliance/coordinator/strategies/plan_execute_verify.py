"""A planner splits the question, executors carry out the steps, a verifier checks them; then the answer is written."""

from __future__ import annotations

from dataclasses import replace

from appliance.coordinator.answer_shape import shape_of
from appliance.coordinator.answer_stream import stream_answer
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.final_answer import cut_at_stop
from appliance.coordinator.plan_place import Place
from appliance.coordinator.plan_work import PlanWork
from appliance.coordinator.planner import PlanningTask
from appliance.coordinator.planning import Planning
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.sampling import seed_of
from appliance.coordinator.synthesizer import TaskResult, synthesizer_ask
from appliance.coordinator.task_work import Unverified
from appliance.domain.model import Role
from appliance.domain.request import ContentDelta
from appliance.errors import BudgetExhausted


class PlanExecuteVerify:
    """Plan → execute and verify → synthesise."""

    async def answer(self, run: Run) -> str:
        """Say the progress as it is made, then the answer."""
        return await _synthesis(run, await _results(run, Planning(run, _planning_task(run))))


def _planning_task(run: Run) -> PlanningTask:
    options = run.options
    nests = run.budget.limits.depth > 1
    return PlanningTask(
        question=run.question,
        history=run.planners_history,
        skills=tuple(options.roles.executors),
        max_tasks=options.budget.tasks,
        given=tuple(run.given),
        nests=nests,
    )


async def _results(run: Run, planning: Planning) -> tuple[TaskResult, ...]:
    """The results of a plan, all of them verified where that can be had.

    A task that fails verification in every attempt often means that the plan is wrong, so another plan gets its try.
    When none passes as a whole, the first one is carried to its end with the likeliest results.
    """
    given = run.given
    async with PlanWork(run, strict=bool(run.options.verification.replans), place=Place(given=given)) as work:
        plan = await planning.plan(work)
        run.plan_known(len(plan.tasks))
        first = work.sealed(plan)
        try:
            return await work.results()
        except Unverified as failure:
            doubt = failure
    for number in range(2, run.options.verification.replans + 2):
        try:
            async with PlanWork(run, strict=True, place=Place(f"{number}.", given=given), reserve=first.needed) as work:
                work.sealed(await planning.another(doubt, first.needed(), work))
                results = await work.results()
        except Unverified as failure:
            doubt = failure
        except (RoleFailed, BudgetExhausted) as failure:
            run.recorder.fallback(Role.PLANNER, f"{doubt}; no other plan: {failure}", "the first plan is carried on")
            break
        else:
            run.recorder.fallback(Role.PLANNER, str(doubt), f"plan {number} is taken, all of its results passed")
            return results
    return await first.execute()


async def _synthesis(run: Run, results: tuple[TaskResult, ...]) -> str:
    """The answer from the results: the synthesizer's, or the final result itself where there is none.

    A result that nobody could reject has been said already; one that had to pass first is said here as a whole.
    """
    if writers := run.options.roles.writers(run.request.sampling):
        try:
            return await _written(run, writers, results)
        except (RoleFailed, BudgetExhausted) as stop:
            if not (_takes_any_text(run) and run.withdraw()):
                raise
            run.recorder.fallback(Role.SYNTHESIZER, str(stop), "the final task's result is the answer")
    if run.said_reason is not None:
        return run.said_reason
    run.say(ContentDelta(cut_at_stop(results[-1].result, run.request.sampling.get("stop"))))
    return "stop"


def _takes_any_text(run: Run) -> bool:
    """Whether a task's result may be the answer: it is of no form, and calls no tools."""
    sampling = run.request.sampling
    return not (
        shape_of(sampling.get("response_format")) or sampling.get("structured_outputs") or sampling.get("tools")
    )


async def _written(run: Run, writers: tuple[str, ...], results: tuple[TaskResult, ...]) -> str:
    limit = run.options.sampling_of(Role.SYNTHESIZER)
    sampling = replace(limit, max_tokens=run.bounded(limit.max_tokens))
    seed = seed_of(run.seed_base, "synthesis", 1)
    tools = run.options.roles.tool_callers.issuperset(writers)
    return await stream_answer(
        run,
        CallPurpose(Role.SYNTHESIZER, "synthesis"),
        writers,
        lambda prompts: synthesizer_ask(prompts, run.request, results, sampling, seed, tools=tools),
    )
