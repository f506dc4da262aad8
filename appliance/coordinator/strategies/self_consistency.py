"""Several answers to the same question; the most frequent one is taken, as soon as no other can become it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.strategies.candidates import Candidate, draw
from appliance.coordinator.strategies.passthrough import TASK_ID
from appliance.coordinator.strategies.race import Race
from appliance.coordinator.voting import Ballot, fewest_to_decide, winner
from appliance.domain.model import Role
from appliance.domain.trace import Verdict, VerdictRecord
from appliance.errors import BudgetExhausted

_MAJORITY = 0.5

_PATIENCE = 3.0
"""A sample that takes so many times as long as the slowest that ended is no longer waited for alone."""
_LEAST_PATIENCE_S = 0.5


class SelfConsistency:
    """Samples and a vote. No more samples run at once than could decide it, if all of them agreed."""

    async def answer(self, run: Run) -> str:
        """Say the first answer of the majority, once it is certain."""
        samples = await _Samples(run).drawn()
        return by_majority(run, samples).say(run, of=len(samples))


class _Samples:
    """The samples of one request."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._limit = run.options.self_consistency.samples
        self._found: list[Candidate] = []
        self._begun = 0
        self._instead = 0
        self._slowest_s = 0.0
        self._failure: RoleFailed | BudgetExhausted | None = None

    async def drawn(self) -> list[Candidate]:
        """Samples until the majority is certain; those that still run then are cancelled.

        Raises RoleFailed or BudgetExhausted when there is none at all.
        """
        async with Race[Candidate]() as race:
            while needed := self._needed(race.running):
                for _ in range(race.running, min(needed + self._instead, race.running + self._left)):
                    self._begun += 1
                    race.start(self._sample(self._begun))
                await self._take(race)
        if self._failure is not None and not self._found:
            raise self._failure
        return self._found

    @property
    def _left(self) -> int:
        """Samples that may still be begun: none after one failed, which the next would, too."""
        return self._limit - self._begun if self._failure is None else 0

    def _needed(self, running: int) -> int:
        """Samples that have to end before the majority can be certain; 0: it is, or there are none left."""
        keys = [one.key(self._run) for one in self._found if one.usable]
        return fewest_to_decide(keys, running + self._left)

    async def _take(self, race: Race[Candidate]) -> None:
        """The next sample that ends; where all take very long, another one may begin instead of them."""
        patient_s = max(_LEAST_PATIENCE_S, _PATIENCE * self._slowest_s) if self._found and self._left else None
        if not await race.one_ends(patient_s):
            self._instead += 1
            return
        try:
            sample = await race.next()
        except (RoleFailed, BudgetExhausted) as failure:
            self._failure = failure
            return
        self._found.append(sample)
        self._run.progress(f"sample {sample.number} of {self._limit}: {sample.shown()}")

    async def _sample(self, number: int) -> Candidate:
        said, began_s = self._run.options.self_consistency, asyncio.get_running_loop().time()
        sample = await draw(self._run, number, said.models, said.temperature)
        self._slowest_s = max(self._slowest_s, asyncio.get_running_loop().time() - began_s)
        return sample


def by_majority(run: Run, candidates: Sequence[Candidate]) -> Candidate:
    """The first candidate of the most frequent answer; the votes go into the trace.

    Answers that were cut off count only where there are no others. Raises RoleFailed when there is no text at all.
    """
    voting = [c for c in candidates if c.usable] or [c for c in candidates if c.answer]
    if not voting:
        raise RoleFailed(Role.GENERALIST, f"{len(candidates)} answers were empty")
    chosen, votes = winner([Ballot(c.number, c.key(run), c.logprob) for c in voting])
    share = votes / len(voting)
    run.recorder.verdict(
        VerdictRecord(
            task_id=TASK_ID,
            attempt=chosen.number,
            verdict=Verdict.PASS if share > _MAJORITY else Verdict.UNSURE,
            probability=share,
            threshold=_MAJORITY,
            rule=f"majority {votes}/{len(voting)}",
            verifier_model_id="",
        )
    )
    run.progress(f"{votes} of {len(voting)} agree")
    return next(c for c in voting if c.number == chosen.number)
