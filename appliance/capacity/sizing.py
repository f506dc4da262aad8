"""The fewest GPUs of a kind on which a team holds the objectives under a load. Pure.

1. An unloaded pool whose models have GPUs of their own must hold the objectives: no other one is faster. Where it does
   not with engines on one GPU each, they are spread over more, as long as the node has them.
2. The number of GPUs is doubled, from the fewest on which the solver places all models, until a loaded pool holds the
   objectives; then the gap to the last number that did not is halved. Engines that span more are tried against that.

A pool holds an objective with MARGIN to spare, by the mean over several seeds and twice its error; near the limit more
seeds are taken, so that another seed hardly means another answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Final

from appliance.capacity.demand import Load
from appliance.capacity.engine_book import EngineBook
from appliance.capacity.hardware import GpuKind, nodes_of
from appliance.capacity.layout import Layout, at_band_end, lay_out
from appliance.capacity.prediction import REQUESTS, Estimate, Prediction, Rules, Traffic, predict
from appliance.capacity.setup import EnginePlace
from appliance.capacity.slo import Objective
from appliance.capacity.team import Team
from appliance.domain.placement import Unplaceable
from appliance.placement.problem import Wanted

MARGIN: Final = 0.05
"""So much of an objective's limit is kept free, for what a simulation can't see."""
SEEDS: Final = 2
MOST_SEEDS: Final = 6
NEAR: Final = 0.1
"""An estimate within this part of the limit is looked at under more seeds."""
UNLOADED_SHARE: Final = 0.02
"""Of the wanted rate: requests that hardly ever meet."""
UNLOADED_PART: Final = 0.6
"""Of the usual number of requests is enough for them."""
SPANS: Final = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every candidate. `seed` decides all draws."""

    load: Load
    objectives: tuple[Objective, ...]
    rules: Rules
    book: EngineBook
    seed: int = 0
    most_gpus: int = 64
    most_seeds: int = MOST_SEEDS
    requests: int = REQUESTS
    band_end: float = 0.0
    """Where in the band of uncertainty the engines are: 0 as expected, 1 at its slow end, -1 at its fast one."""

    def seeds(self, count: int) -> tuple[int, ...]:
        """Seeds of runs, which other seeds of the question do not share."""
        return tuple(self.seed * 10_000 + number for number in range(count))

    def predicted(
        self,
        places: Sequence[EnginePlace],
        traffic: Traffic,
        seeds: int = SEEDS,
        *,
        part: float = 1.0,
        keep_calls: bool = False,
    ) -> Prediction:
        """What the simulation says of these engines, from a part of the usual number of requests."""
        engines, requests = at_band_end(places, self.band_end), round(self.requests * part)
        return predict(engines, self.rules, traffic, self.seeds(seeds), requests=requests, keep_calls=keep_calls)

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


def holds(prediction: Prediction, objectives: Sequence[Objective]) -> bool:
    """Whether each objective is held with the margin, by the upper end of what the seeds leave open."""
    return all(prediction.estimate(o).high <= o.limit_s * (1 - MARGIN) for o in objectives)


def misses(prediction: Prediction, objectives: Sequence[Objective]) -> bool:
    """Whether an objective is surely not held with the margin."""
    return any(prediction.estimate(o).low > o.limit_s * (1 - MARGIN) for o in objectives)


def looked_at(places: Sequence[EnginePlace], question: Question, traffic: Traffic, part: float = 1.0) -> Prediction:
    """Under a few seeds, and under more while an objective is near its limit and not yet sure."""
    count = SEEDS
    while True:
        found = question.predicted(places, traffic, count, part=part)
        estimates = [(found.estimate(o), o.limit_s * (1 - MARGIN)) for o in question.objectives]
        if count >= question.most_seeds or all(_sure(*each, count) for each in estimates):
            return found
        count += SEEDS


def smallest(team: Team, kind: GpuKind, question: Question) -> Sized | TooSmall:
    """For one team on one kind of GPU."""
    sizes = {wanted.model_id: _sizes(wanted, team, kind, question) for wanted in team.problem.models}
    if homeless := [model_id for model_id, found in sizes.items() if not found]:
        return TooSmall(team, kind, f"{homeless[0]} does not fit on the GPUs of one node of {kind.kind}")
    best: Sized | None = None
    refused: list[TooSmall] = []
    for span in SPANS:
        if span > 1 and max(max(found) for found in sizes.values()) < span:
            break
        spread = {model: tuple(s for s in found if s >= span) or found[-1:] for model, found in sizes.items()}
        found = _spread(team.sized(spread), kind, question, None if best is None else best.layout.gpus - 1)
        if isinstance(found, Sized):
            best = found
        elif best is None:
            refused.append(found)
    able = [each for each in refused if each.unloaded and holds(each.unloaded, question.objectives)]
    return best or (able[0] if able else min(refused, key=lambda each: _value(each, question)))


def _sizes(wanted: Wanted, team: Team, kind: GpuKind, question: Question) -> tuple[int, ...]:
    """How many GPUs of a node an engine of the model may span, ascending."""
    return tuple(
        size
        for size in sorted(wanted.tensor_parallel_sizes)
        if size <= int(kind.gpus_per_node.value)
        and question.book.by_itself(team.problem, wanted, kind, size) is not None
    )


def _spread(team: Team, kind: GpuKind, question: Question, at_most: int | None) -> Sized | TooSmall:
    """With engines that span as many GPUs as the team says: unloaded first, each model on GPUs of its own.

    `at_most`: more GPUs are of no use.
    """
    places = []
    for wanted in team.problem.models:
        profile = question.book.by_itself(team.problem, wanted, kind, wanted.tensor_parallel_sizes[0])
        assert profile is not None, "only sizes that fit are tried"
        places.append(EnginePlace(wanted.model_id, profile, wanted.model_id))
    unloaded = _unloaded(places, team, question)
    if not holds(unloaded, question.objectives):
        return TooSmall(team, kind, "even without load it answers too slowly", unloaded)
    return _Search(team, kind, question, unloaded).run(at_most=at_most)


def _unloaded(places: Sequence[EnginePlace], team: Team, question: Question) -> Prediction:
    return looked_at(places, question, question.traffic(team, UNLOADED_SHARE), UNLOADED_PART)


def smallest_from(layout: Layout, question: Question) -> Sized | TooSmall:
    """As `smallest`, for the team of a layout that is known to fit, and on no fewer GPUs."""
    unloaded = _unloaded(layout.places, layout.team, question)
    if not holds(unloaded, question.objectives):
        return TooSmall(layout.team, layout.kind, "even without load it answers too slowly", unloaded)
    return _Search(layout.team, layout.kind, question, unloaded, {layout.gpus: layout}).run(first=layout.gpus)


def _value(found: TooSmall, question: Question) -> float:
    """How far an unloaded pool is from the objectives: the worst ratio to a limit."""
    if found.unloaded is None:
        return inf
    return max(found.unloaded.estimate(o).mean / o.limit_s for o in question.objectives)


def _sure(estimate: Estimate, limit_s: float, seeds: int) -> bool:
    """Whether further seeds would hardly put the estimate on the other side of the limit."""
    if estimate.mean == inf:
        return True
    distance = abs(estimate.mean - limit_s)
    return distance > 3 * estimate.error and (seeds > SEEDS or distance > NEAR * limit_s)


@dataclass
class _Search:
    """Layouts and predictions by number of GPUs, each made once."""

    team: Team
    kind: GpuKind
    question: Question
    unloaded: Prediction
    layouts: dict[int, Layout | Unplaceable] = field(default_factory=dict)
    predictions: dict[int, Prediction] = field(default_factory=dict)

    def run(self, *, first: int | None = None, at_most: int | None = None) -> Sized | TooSmall:
        """From `first` GPUs on, which hold all models (None: from the fewest that do) to `at_most`."""
        most = self.question.most_gpus if at_most is None else at_most
        first = first or self._first(most)
        if first is None:
            return self._refused(f"its models do not fit on {most} of {self.kind.kind} together")
        if at_most is not None and not self._enough(most):
            return self._refused(f"it would take more than {most} GPUs")
        enough, below = self._doubled(first, most)
        if enough is None:
            return self._refused(f"it would take more than {most} GPUs")
        enough, below = self._halved(enough, below)
        layout = self._layout(enough)
        assert isinstance(layout, Layout)
        return Sized(layout, self.predictions[enough], self.unloaded, below)

    def _first(self, most: int) -> int | None:
        """The fewest GPUs on which everything fits."""
        models = self.team.problem.models
        weights = sum(wanted.model.parameters * _bytes(wanted.weights_format) for wanted in models)
        count = max(ceil(weights / self.kind.memory_bytes.value), *(min(w.tensor_parallel_sizes) for w in models), 1)
        while count <= most:
            if isinstance(self._layout(count), Layout):
                return count
            count += max(1, count // 4)
        return None

    def _doubled(self, first: int, most: int) -> tuple[int | None, int]:
        """A number that holds, and the last one that did not (0: none)."""
        count, below = first, 0
        while True:
            if self._enough(count):
                return count, below
            if count == most:
                return None, count
            count, below = min(2 * count, most), count

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
            self.predictions[count] = looked_at(layout.places, self.question, self.question.traffic(self.team))
        return holds(self.predictions[count], self.question.objectives)

    def _layout(self, count: int) -> Layout | Unplaceable:
        if count not in self.layouts:
            load = self.question.load
            demand = self.team.demand(load.hard_share, load.rate_per_s)
            nodes = nodes_of(self.kind, count)
            self.layouts[count] = lay_out(self.team, self.kind, nodes, demand, self.question.book)
        return self.layouts[count]

    def _refused(self, reason: str) -> TooSmall:
        return TooSmall(self.team, self.kind, reason, self.unloaded)


def _bytes(weights_format: str | None) -> float:
    """Of a parameter, at the least: only a lower bound is needed."""
    return 0.5 if weights_format and "8" not in weights_format else 1.0 if weights_format else 2.0
