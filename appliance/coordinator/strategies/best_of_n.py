"""Several answers at once, each judged as it comes; one that surely passes ends it, else the likeliest is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.coordinator.judge import Judge
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.strategies.candidates import Candidate, draw, judge_of, whole_answer
from appliance.coordinator.strategies.race import Race
from appliance.coordinator.strategies.self_consistency import SelfConsistency, by_majority
from appliance.coordinator.strategies.strategy import Strategy
from appliance.coordinator.verifier import Judgement
from appliance.domain.model import Role
from appliance.domain.trace import Verdict
from appliance.errors import BudgetExhausted


@dataclass(frozen=True, slots=True)
class _Judged:
    """A candidate and what was said of it; None: nobody judged it."""

    candidate: Candidate
    judgement: Judgement | None

    def surely_passes(self, probability: float) -> bool:
        judgement = self.judgement
        return judgement is not None and judgement.verdict is Verdict.PASS and judgement.probability >= probability


class BestOfN:
    """Draw, judge, take the likeliest. Where nobody can judge whole answers, the majority decides."""

    def __init__(self, without_a_judge: Strategy | None = None) -> None:
        self._without_a_judge = without_a_judge or SelfConsistency()

    async def answer(self, run: Run) -> str:
        """Say the likeliest candidate, once it is known."""
        judge = judge_of(run)
        if obstacle := judge.obstacle(whole_answer(run)):
            run.recorder.fallback(Role.VERIFIER, obstacle, "the most frequent answer is taken instead of the likeliest")
            return await self._without_a_judge.answer(run)
        found = await _judged(run, judge)
        return _best(run, found).say(run, of=len(found))


async def _judged(run: Run, judge: Judge) -> list[_Judged]:
    """Candidates in the order in which they were judged; what runs when one surely passes is cancelled.

    Raises RoleFailed or BudgetExhausted when there is none at all.
    """
    said = run.options.best_of_n
    found: list[_Judged] = []
    failure: RoleFailed | BudgetExhausted | None = None
    drawn = 0
    async with Race[_Judged]() as race:
        while True:
            while drawn < said.candidates and race.running < said.parallel and failure is None:
                drawn += 1
                race.start(_one(run, judge, drawn))
            if not race.running:
                break
            try:
                found.append(await race.next())
            except (RoleFailed, BudgetExhausted) as reason:
                failure = reason
                continue
            run.progress(_line(found[-1], said.candidates))
            if found[-1].surely_passes(said.stop_at):
                return found
    if failure is not None and not found:
        raise failure
    return found


async def _one(run: Run, judge: Judge, number: int) -> _Judged:
    options = run.options
    said = options.best_of_n
    own = options.sampling_of(Role.GENERALIST).temperature
    candidate = await draw(run, number, said.models, own if number == 1 else said.temperature)
    task = whole_answer(run)
    judgement = await judge.judge(task, number, candidate.answer, candidate.finish_reason, author=candidate.model_id)
    return _Judged(candidate, judgement)


def _best(run: Run, found: Sequence[_Judged]) -> Candidate:
    """The likeliest of those that were judged, the first of equals; the majority's where none was."""
    judged = [(one.judgement.probability, one.candidate) for one in found if one.judgement is not None]
    if not judged:
        return by_majority(run, [one.candidate for one in found])
    return min(judged, key=lambda each: (-each[0], each[1].number))[1]


def _line(one: _Judged, of: int) -> str:
    judgement = one.judgement
    mark = ""
    if judgement is not None:
        mark = f" {'✓' if judgement.verdict is Verdict.PASS else '✗'} {judgement.probability:.2f}"
    return f"candidate {one.candidate.number} of {of}: {one.candidate.shown()}{mark}"
