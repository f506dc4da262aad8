"""The fewest GPUs of a kind on which a team holds the objectives under a load. Pure.

1. The engines span one GPU each, or more where the solver finds that faster; the fewest GPUs are sought that hold all.
2. An unloaded pool must hold the objectives, else no number of such engines does; then they are made to span more.
3. The number is doubled until a loaded pool holds them, and the gap to the last one that did not is halved.

A pool holds an objective with MARGIN to spare, by the mean over several seeds; near the limit more seeds are taken, so
that another seed does not mean another answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Final

from appliance.capacity.demand import Load
from appliance.capacity.hardware import GpuKind, nodes_of
from appliance.capacity.layout import Layout, ProfileOf, lay_out
from appliance.capacity.prediction import REQUESTS, Estimate, Prediction, Rules, Traffic, predict
from appliance.capacity.slo import Objective
from appliance.capacity.team import Team
from appliance.domain.placement import Unplaceable

MARGIN: Final = 0.05
"""So much of an objective's limit is kept free, for what a simulation can't see."""
SEEDS: Final = 2
MOST_SEEDS: Final = 8
NEAR: Final = 0.15
"""An estimate within this part of the limit is looked at under more seeds."""
UNLOADED_SHARE: Final = 0.02
"""Of the wanted rate: requests that hardly ever meet."""
UNLOADED_REQUESTS: Final = 400
SPANS: Final = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every candidate. `seed` decides all draws."""

    load: Load
    objectives: tuple[Objective, ...]
    rules: Rules
    profile_of: ProfileOf
    seed: int = 0
    most_gpus: int = 64
    band_end: float = 0.0
    """Where in the band of uncertainty the engines are: 0 as expected, 1 at its slow end, -1 at its fast one."""

    def seeds(self, count: int) -> tuple[int, ...]:
        """Seeds of runs, which other seeds of the question do not share."""
        return tuple(self.seed * 10_000 + number for number in range(count))

    def predicted(
        self,
        layout: Layout,
        traffic: Traffic,
        seeds: int = SEEDS,
        *,
        requests: int = REQUESTS,
        keep_calls: bool = False,
    ) -> Prediction:
        """What the simulation says of a layout."""
        places = layout.at_band_end(self.band_end)
        return predict(places, self.rules, traffic, self.seeds(seeds), requests=requests, keep_calls=keep_calls)

    def traffic(self, team: Team, share: float = 1.0) -> Traffic:
        """The load, or a part of it, as the team answers it."""
        return Traffic(team.trees, team.mix(self.load.hard_share), self.load.rate_per_s * share)


@dataclass(frozen=True, slots=True)
class Sized:
    """The smallest layout that holds, what it does under the load, and its latencies without one.

    `below` is the largest number of GPUs that was looked at and does not hold; 0: it does not even fit on fewer.
    """

    layout: Layout
    prediction: Prediction
    unloaded: Prediction
    below: int


@dataclass(frozen=True, slots=True)
class TooSmall:
    """No number of GPUs up to the most that was asked for holds. `reason` is a sentence.

    `unloaded` is the best unloaded pool that was seen; None where nothing could be placed.
    """

    team: Team
    kind: GpuKind
    reason: str
    unloaded: Prediction | None = None
    gpus: int = 0


def holds(prediction: Prediction, objectives: Sequence[Objective]) -> bool:
    """Whether each objective is held with the margin."""
    return all(prediction.estimate(o).mean <= o.limit_s * (1 - MARGIN) for o in objectives)


def looked_at(layout: Layout, question: Question, traffic: Traffic) -> Prediction:
    """Under a few seeds, and under more while an objective is near its limit and not yet sure."""
    count = SEEDS
    while True:
        found = question.predicted(layout, traffic, count)
        estimates = [(found.estimate(o), o.limit_s * (1 - MARGIN)) for o in question.objectives]
        if count >= MOST_SEEDS or all(_sure(estimate, limit) for estimate, limit in estimates):
            return found
        count *= 2


def smallest(team: Team, kind: GpuKind, question: Question) -> Sized | TooSmall:
    """For one team on one kind of GPU."""
    best: TooSmall | None = None
    for span in SPANS:
        spanning = team.spanning(span) if span <= int(kind.gpus_per_node.value) else None
        if spanning is None:
            continue
        found = _Search(spanning, kind, question).run()
        if isinstance(found, Sized):
            return found
        if best is None or _value(found, question) < _value(best, question):
            best = found
        if found.unloaded is not None and holds(found.unloaded, question.objectives):
            break  # engines that span more would not make it cheaper
    return best or TooSmall(team, kind, f"no engine of {team.name} may stand on a single {kind.kind}")


def smallest_from(layout: Layout, question: Question) -> Sized | TooSmall:
    """As `smallest`, for the team of a layout that is known to fit, and on no fewer GPUs."""
    return _Search(layout.team, layout.kind, question, {layout.gpus: layout}).run(layout.gpus)


def _value(found: TooSmall, question: Question) -> float:
    """How far an unloaded pool is from the objectives: the worst ratio to a limit."""
    if found.unloaded is None:
        return inf
    return max(found.unloaded.estimate(o).mean / o.limit_s for o in question.objectives)


def _sure(estimate: Estimate, limit_s: float) -> bool:
    if estimate.mean == inf or abs(estimate.mean - limit_s) > NEAR * limit_s:
        return True
    return abs(estimate.mean - limit_s) > 3 * estimate.error


@dataclass
class _Search:
    """Layouts and predictions by number of GPUs, each made once."""

    team: Team
    kind: GpuKind
    question: Question
    layouts: dict[int, Layout | Unplaceable] = field(default_factory=dict)
    predictions: dict[int, Prediction] = field(default_factory=dict)

    def run(self, first: int | None = None) -> Sized | TooSmall:
        """From `first` GPUs on, which hold all models; None: from the fewest that do."""
        first = first or self._first()
        if first is None:
            return self._refused(f"its models do not fit on {self.question.most_gpus} of {self.kind.kind} together")
        layout = self._layout(first)
        assert isinstance(layout, Layout)
        rare = self.question.traffic(self.team, UNLOADED_SHARE)
        unloaded = self.question.predicted(layout, rare, requests=UNLOADED_REQUESTS)
        if not holds(unloaded, self.question.objectives):
            return self._refused("even without load it answers too slowly", unloaded, first)
        enough, below = self._doubled(first)
        if enough is None:
            return self._refused(f"it would take more than {self.question.most_gpus} GPUs", unloaded, first)
        enough, below = self._halved(enough, below)
        layout = self._layout(enough)
        assert isinstance(layout, Layout)
        return Sized(layout, self.predictions[enough], unloaded, below)

    def _first(self) -> int | None:
        """The fewest GPUs on which everything fits."""
        weights = sum(wanted.model.parameters * _bytes(wanted.weights_format) for wanted in self.team.problem.models)
        count = max(1, ceil(weights / self.kind.memory_bytes.value))
        count = max(count, *(min(wanted.tensor_parallel_sizes) for wanted in self.team.problem.models))
        while count <= self.question.most_gpus:
            if isinstance(self._layout(count), Layout):
                return count
            count += max(1, count // 4)
        return None

    def _doubled(self, first: int) -> tuple[int | None, int]:
        """A number that holds, and the last one that did not (0: none)."""
        count, below = first, 0
        while count <= self.question.most_gpus:
            if self._enough(count):
                return count, below
            count, below = count * 2, count
            if count > self.question.most_gpus > below:
                count = self.question.most_gpus
        return None, below

    def _halved(self, enough: int, below: int) -> tuple[int, int]:
        while enough - below > max(1, enough // 16) and below:
            middle = (enough + below) // 2
            if self._enough(middle):
                enough = middle
            else:
                below = middle
        return enough, below

    def _enough(self, count: int) -> bool:
        layout = self._layout(count)
        if isinstance(layout, Unplaceable):
            return False
        if count not in self.predictions:
            self.predictions[count] = looked_at(layout, self.question, self.question.traffic(self.team))
        return holds(self.predictions[count], self.question.objectives)

    def _layout(self, count: int) -> Layout | Unplaceable:
        if count not in self.layouts:
            load = self.question.load
            demand = self.team.demand(load.hard_share, load.rate_per_s)
            nodes = nodes_of(self.kind, count)
            self.layouts[count] = lay_out(self.team, self.kind, nodes, demand, self.question.profile_of)
        return self.layouts[count]

    def _refused(self, reason: str, unloaded: Prediction | None = None, gpus: int = 0) -> TooSmall:
        return TooSmall(self.team, self.kind, reason, unloaded, gpus)


def _bytes(weights_format: str | None) -> float:
    """Of a parameter, at the least: only a lower bound is needed."""
    return 0.5 if weights_format and "8" not in weights_format else 1.0 if weights_format else 2.0
