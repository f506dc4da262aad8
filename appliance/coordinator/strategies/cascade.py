"""A small model answers first; what does not pass verification goes to the next larger one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from appliance.coordinator.answer_stream import stream_answer
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.judge import Judge
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.strategies.candidates import Candidate, draw, judge_of, record, whole_answer
from appliance.coordinator.strategies.direct import generalist_ask
from appliance.coordinator.strategies.passthrough import TASK_ID
from appliance.coordinator.strategies.strategy import Strategy
from appliance.coordinator.verifier import Judgement
from appliance.domain.model import Role
from appliance.domain.trace import Verdict
from appliance.errors import BudgetExhausted


@dataclass(frozen=True, slots=True)
class _Rejected:
    """An answer that did not pass, and how likely it is right all the same."""

    candidate: Candidate
    probability: float


class Cascade:
    """Models from small to large, then perhaps another one of `strategies`.

    An answer that may still be thrown away is not shown; the last stage's can't be, so it is streamed. With
    verification switched off the smallest model's answer is taken; where nobody can judge, the largest model's.
    """

    def __init__(self, strategies: Mapping[str, Strategy]) -> None:
        self._strategies = strategies

    async def answer(self, run: Run) -> str:
        """Say the first answer that passes, or what the last stage answers."""
        models = _models(run)
        if not run.options.verification.enabled:
            return await _streamed(run, models, 1)
        judge = judge_of(run)
        if obstacle := judge.obstacle(whole_answer(run)):
            run.recorder.fallback(Role.VERIFIER, obstacle, "the largest model answers")
            return await _streamed(run, models[::-1], 1)
        rejected: list[_Rejected] = []
        accepted = await _accepted(run, judge, rejected)
        if accepted is not None:
            return accepted.say(run, of=len(rejected) + 1)
        try:
            return await self._last(run)
        except (RoleFailed, BudgetExhausted) as failure:
            if not rejected or not run.withdraw():
                raise
            return _likeliest(run, rejected, failure).say(run, of=len(rejected))

    async def _last(self, run: Run) -> str:
        """The stage whose answer is taken as it comes."""
        then = run.options.cascade.then
        if then is None:
            return await _streamed(run, _models(run)[-1:], len(_models(run)))
        record(run, len(_models(run)), None)
        run.progress(f"no model's answer passed: {then} goes on")
        return await self._strategies[then].answer(run)


def _models(run: Run) -> tuple[str, ...]:
    """From small to large."""
    return run.options.cascade.models or run.options.roles.generalist[::-1]


async def _accepted(run: Run, judge: Judge, rejected: list[_Rejected]) -> Candidate | None:
    """The first answer that passes; None when the last stage has to answer."""
    models = _models(run)
    stages = models if run.options.cascade.then is not None else models[:-1]
    for number, model_id in enumerate(stages, 1):
        try:
            candidate = await draw(run, number, (model_id,), run.options.sampling_of(Role.GENERALIST).temperature)
        except (RoleFailed, BudgetExhausted) as failure:
            run.recorder.fallback(Role.GENERALIST, str(failure), "the next stage answers")
            continue
        task, finish_reason = whole_answer(run), candidate.finish_reason
        judgement = await judge.judge(task, number, candidate.answer, finish_reason, author=model_id)
        if judgement is None:
            run.recorder.fallback(Role.VERIFIER, "nobody could judge the answer", "the last stage answers")
            rejected.append(_Rejected(candidate, 0.0))
            return None
        if _sure_enough(run, judgement):
            run.progress(f"{model_id} ✓ {judgement.probability:.2f}")
            return candidate
        run.progress(f"{model_id} ✗ {judgement.probability:.2f}: the next stage answers")
        rejected.append(_Rejected(candidate, judgement.probability))
    return None


def _sure_enough(run: Run, judgement: Judgement) -> bool:
    wanted = run.options.cascade.min_confidence
    return judgement.verdict is Verdict.PASS if wanted is None else judgement.probability >= wanted


def _likeliest(run: Run, rejected: list[_Rejected], failure: Exception) -> Candidate:
    """The last stage failed: what is there is better than nothing."""
    chosen = max(rejected, key=lambda one: (one.candidate.usable, one.probability))
    action = f"the answer of {chosen.candidate.model_id} is taken, the likeliest ({chosen.probability:.2f})"
    run.recorder.fallback(Role.GENERALIST, str(failure), action)
    return chosen.candidate


async def _streamed(run: Run, models: tuple[str, ...], number: int) -> str:
    """The answer of the first of `models` that begins one."""
    purpose = CallPurpose(Role.GENERALIST, TASK_ID, number)
    finish_reason = await stream_answer(run, purpose, models, partial(generalist_ask, run))
    record(run, number, number)
    return finish_reason
