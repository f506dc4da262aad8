"""Judges results: deterministic checks first, then the verifier, each result of an instruction once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from appliance.coordinator.attempts import unusable
from appliance.coordinator.budget import Need
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.sampling import seed_of
from appliance.coordinator.task_graph import TaskInput
from appliance.coordinator.verifier import Judgement, read_verdict, verifier_ask
from appliance.domain.model import Role
from appliance.domain.trace import Verdict, VerdictRecord
from appliance.errors import BudgetExhausted


class Judge:
    """Judges the results of one request. `keep` says what a verification must leave in the budget."""

    def __init__(self, run: Run, keep: Callable[[], Need]) -> None:
        self._run = run
        self._keep = keep
        self._known: dict[tuple[str, str], Judgement] = {}
        self._verifies = run.options.verification.enabled and bool(run.options.roles.verifier)

    async def judge(self, task: TaskInput, attempt: int, result: str, finish_reason: str | None) -> Judgement | None:
        """The judgement of a result; None when nobody judges: switched off, no verifier left, no budget for it."""
        problem = unusable(result, finish_reason)
        if problem:
            return self._recorded(task, attempt, Judgement(Verdict.FAIL, 0.0, problem))
        if not self._verifies:
            return None
        known = self._known.get((task.instruction, result))
        if known is not None:
            return self._recorded(task, attempt, replace(known, rule=f"{known.rule}, of the same result before"))
        try:
            return await self._verdict(task, attempt, result)
        except BudgetExhausted:
            return None
        except RoleFailed as failure:
            self._give_up(failure)
            return None

    async def _verdict(self, task: TaskInput, attempt: int, result: str) -> Judgement:
        options = self._run.options
        sampling = options.sampling_of(Role.VERIFIER)
        seed = seed_of(self._run.seed_base, f"{task.task_id}/verdict", attempt)
        answer = await self._run.complete(
            CallPurpose(Role.VERIFIER, task.task_id, attempt, self._keep(), optional=True),
            options.roles.verifier,
            lambda prompts: verifier_ask(prompts, task, result, sampling, seed),
        )
        prompts = self._run.prompt_sets[answer.model_id]
        judgement = read_verdict(prompts, answer.text, answer.tokens, options.verification.threshold)
        self._known[task.instruction, result] = judgement
        return self._recorded(task, attempt, judgement, answer.model_id)

    def _give_up(self, failure: RoleFailed) -> None:
        """Results are worth more than verdicts: go on without a verifier, and say so once."""
        if self._verifies:
            self._verifies = False
            self._run.recorder.fallback(Role.VERIFIER, failure.reason, "results are taken unverified")
            self._run.progress("no verifier answers: results are taken unverified")

    def _recorded(self, task: TaskInput, attempt: int, judgement: Judgement, model_id: str = "") -> Judgement:
        self._run.recorder.verdict(
            VerdictRecord(
                task_id=task.task_id,
                attempt=attempt,
                verdict=judgement.verdict,
                probability=judgement.probability,
                threshold=self._run.options.verification.threshold,
                rule=judgement.rule,
                verifier_model_id=model_id,
            )
        )
        return judgement
