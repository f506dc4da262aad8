"""Judges results: deterministic checks first, then the verifier, each result of an instruction once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from appliance.coordinator.attempts import unusable
from appliance.coordinator.budget import Need
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.checks.checks import QUESTION
from appliance.coordinator.checks.examination import Decided, examine
from appliance.coordinator.critical_path import calls_after
from appliance.coordinator.jury import jury
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.sampling import seed_of
from appliance.coordinator.task_graph import TaskInput
from appliance.coordinator.verifier import Judgement, read_verdict, verifier_ask
from appliance.domain.model import Role
from appliance.domain.trace import Verdict, VerdictRecord
from appliance.errors import BudgetExhausted


@dataclass(frozen=True, slots=True)
class _Judged:
    """A judgement and who gave it: no model for one that needed none, whose threshold says nothing then."""

    judgement: Judgement
    model_id: str = ""
    threshold: float = 1.0
    calibrated: bool = False
    self_judged: bool = False


class Judge:
    """Judges the results of one request. `keep` returns, when a verification may be made, what it must leave."""

    def __init__(self, run: Run, keep: Callable[[], Awaitable[Need]]) -> None:
        self._run = run
        self._keep = keep
        self._known: dict[Hashable, _Judged] = {}
        self._silent: set[str] = set()

    def obstacle(self, task: TaskInput) -> str:
        """Why nobody can judge results of a task; empty when somebody can."""
        if not self._run.options.verification.enabled:
            return "verification is switched off"
        if task.checks.has_rules:
            return ""
        if not self._run.options.roles.verifier:
            return "no verifier is configured"
        return "" if self._jury(task, "") else f"no verifier understands results of the skill {task.skill}"

    async def judge(
        self, task: TaskInput, attempt: int, result: str, finish_reason: str | None, *, author: str
    ) -> Judgement | None:
        """The judgement of a result that the model `author` wrote.

        None when nobody judges: switched off, no verifier that knows the skill or answers, no budget for it.
        """
        problem = unusable(result, finish_reason)
        if problem:
            return self._recorded(task, attempt, _Judged(Judgement(Verdict.FAIL, 0.0, problem, problem)))
        if not self._run.options.verification.enabled:  # asked anew: a smaller plan may go on without verification
            return None
        decided = examine(task.checks, result, {**task.inputs, QUESTION: task.question})
        if decided is not None:
            return self._recorded(task, attempt, _Judged(_by_rule(decided)))
        judges = self._jury(task, author)
        if not judges:
            return None
        known = self._known.get(_key(task, result, author))
        if known is not None:
            judgement = replace(known.judgement, rule=f"{known.judgement.rule}, of the same result before")
            return self._recorded(task, attempt, replace(known, judgement=judgement))
        try:
            return await self._verdict(task, attempt, result, author, judges)
        except BudgetExhausted:
            return None
        except RoleFailed as failure:
            self._give_up(judges, failure)
            return None

    def may_reject(self, task: TaskInput, authors: Sequence[str]) -> bool:
        """Whether a result that one of `authors` writes may fail: by a rule of the plan's, or by a verdict."""
        ruled = task.checks.has_rules or task.checks.output is not None
        judged = ruled or any(self._jury(task, author) for author in authors)
        return judged and self._run.options.verification.enabled

    def _jury(self, task: TaskInput, author: str) -> tuple[str, ...]:
        run = self._run
        if not run.options.roles.verifier:
            return ()
        verifiers = [model_id for model_id in run.options.roles.verifier if model_id not in self._silent]
        return jury(verifiers, run.prompt_sets, run.options.families, task.skill, author)

    async def _verdict(
        self, task: TaskInput, attempt: int, result: str, author: str, judges: tuple[str, ...]
    ) -> Judgement:
        options = self._run.options
        sampling = options.sampling_of(Role.VERIFIER)
        seed = seed_of(self._run.seed_base, f"{task.task_id}/verdict", attempt)
        after = calls_after(options, Role.VERIFIER, task.tasks_after)
        keep = await self._keep()
        answer = await self._run.complete(
            CallPurpose(Role.VERIFIER, task.task_id, attempt, keep, optional=True, calls_after=after),
            judges,
            lambda prompts: verifier_ask(prompts, task, result, sampling, seed),
        )
        prompts = self._run.prompt_sets[answer.model_id]
        threshold, calibrated = options.verification.threshold_of(answer.model_id, task.skill)
        judgement = read_verdict(prompts, answer.text, answer.tokens, threshold)
        judged = _Judged(judgement, answer.model_id, threshold, calibrated, answer.model_id == author)
        self._known[_key(task, result, author)] = judged
        return self._recorded(task, attempt, judged)

    def _give_up(self, judges: tuple[str, ...], failure: RoleFailed) -> None:
        """Results are worth more than verdicts: go on without these verifiers, and say so once."""
        if not self._silent.issuperset(judges):
            self._silent.update(judges)
            self._run.recorder.fallback(Role.VERIFIER, failure.reason, "results are taken unverified")
            self._run.progress("no verifier answers: results are taken unverified")

    def _recorded(self, task: TaskInput, attempt: int, judged: _Judged) -> Judgement:
        judgement = judged.judgement
        rule = f"{judgement.rule}, self-judged" if judged.self_judged else judgement.rule
        self._run.recorder.verdict(
            VerdictRecord(
                task_id=task.task_id,
                attempt=attempt,
                verdict=judgement.verdict,
                probability=judgement.probability,
                threshold=judged.threshold,
                rule=rule,
                verifier_model_id=judged.model_id,
                calibrated=judged.calibrated,
                self_judged=judged.self_judged,
                reason=judgement.reason,
            )
        )
        return judgement


def _by_rule(decided: Decided) -> Judgement:
    verdict = Verdict.PASS if decided.right else Verdict.FAIL
    return Judgement(verdict, float(decided.right), decided.finding.rule, decided.finding.reason)


def _key(task: TaskInput, result: str, author: str) -> Hashable:
    """All that a verdict depends on: a verifier sees the inputs beside the instruction."""
    return task.skill, task.instruction, tuple(task.inputs.items()), result, author
