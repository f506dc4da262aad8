"""What a head is worth on held-out tasks: against every fixed strategy, and against the best one per task (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from appliance.evaluation.paired import Difference, bootstrap, difference
from appliance.learning.examples import Outcome

SEED: Final = 20_263
LEAST_ORACLE_SHARE: Final = 0.95
MOST_P: Final = 0.05
LEAST_SAVED: Final = 0.30
MOST_LOST: Final = 0.005
ORACLE: Final = "best strategy per task"

Outcomes = Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the figures to reach, with the value that was found."""

    what: str
    found: float
    wanted: str
    reached: bool

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {"what": self.what, "found": self.found, "wanted": self.wanted, "reached": self.reached}


@dataclass(frozen=True, slots=True)
class Worth:
    """One way to choose, and fixed strategies, on the same tasks in the same order.

    `gpu_second_worth` is what a GPU-second is worth in quality; `orchestrated` names the fixed strategy of those that
    always orchestrate.
    """

    chosen: Outcomes
    fixed: Mapping[str, Outcomes]
    gpu_second_worth: float
    orchestrated: str

    def rewards(self, outcomes: Outcomes) -> list[float]:
        """Quality less what the GPU-seconds are worth."""
        return [one.quality - self.gpu_second_worth * one.gpu_s for one in outcomes]

    @property
    def oracle(self) -> list[Outcome]:
        """For each task the outcome of the fixed strategy with the highest reward."""
        ways = [list(zip(outcomes, self.rewards(outcomes), strict=True)) for outcomes in self.fixed.values()]
        return [max(task, key=lambda pair: pair[1])[0] for task in zip(*ways, strict=True)]

    def against(self, way: str) -> Difference:
        """Of the rewards: what was chosen less the fixed strategy."""
        return difference(self.rewards(self.chosen), self.rewards(self.fixed[way]), seed=SEED)

    def figures(self) -> tuple[Figure, ...]:
        """Those to reach."""
        share = fmean(self.rewards(self.chosen)) / fmean(self.rewards(self.oracle))
        found = {way: self.against(way) for way in self.fixed}
        ahead = all(one.interval.mean > 0 for one in found.values())
        p_value = max(one.p_value for one in found.values())
        team = self.fixed[self.orchestrated]
        saved = 1 - _gpu_s(self.chosen) / _gpu_s(team)
        lost = _quality(team) - _quality(self.chosen)
        return (
            Figure("share of the best strategy's reward per task", share, "≥ 0.95", share >= LEAST_ORACLE_SHARE),
            Figure(
                "largest p of a higher reward than a fixed strategy's", p_value, "< 0.05", ahead and p_value < MOST_P
            ),
            Figure(f"GPU-seconds saved against always {self.orchestrated}", saved, "≥ 0.30", saved >= LEAST_SAVED),
            Figure("accuracy lost against the same (negative: gained)", lost, "≤ 0.005", lost <= MOST_LOST),
        )

    def as_document(self) -> dict[str, Any]:
        """For JSON: the ways with their quality, cost and reward, what was chosen against each, the figures."""
        ways = {"chosen": self.chosen, **self.fixed, ORACLE: self.oracle}
        return {
            "tasks": len(self.chosen),
            "gpu_second_worth": self.gpu_second_worth,
            "ways": {name: self._way(outcomes) for name, outcomes in ways.items()},
            "reward_of_chosen_less_fixed": {way: self.against(way).as_document() for way in self.fixed},
            "figures": [figure.as_document() for figure in self.figures()],
        }

    def _way(self, outcomes: Outcomes) -> dict[str, Any]:
        return {
            "quality": bootstrap([one.quality for one in outcomes], seed=SEED).as_document(),
            "gpu_seconds_per_task": _gpu_s(outcomes),
            "reward": fmean(self.rewards(outcomes)),
        }


def _quality(outcomes: Outcomes) -> float:
    return fmean(one.quality for one in outcomes)


def _gpu_s(outcomes: Outcomes) -> float:
    return fmean(one.gpu_s for one in outcomes)
