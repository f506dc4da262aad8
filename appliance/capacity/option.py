"""One configuration that could be bought, with all that is to be known of it before it is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from appliance.capacity.bottleneck import bottleneck
from appliance.capacity.expense import Band, Expense, expense
from appliance.capacity.layout import Layout, lay_out, nodes_without_one
from appliance.capacity.prediction import Prediction
from appliance.capacity.sizing import SEEDS, Question, Sized, TooSmall, holds, misses, smallest_from
from appliance.capacity.slo import Metric, Objective
from appliance.domain.placement import Unplaceable

SHOWN: Final = (Objective(Metric.E2E, 50, inf), Objective(Metric.E2E, 95, inf), Objective(Metric.TTFT, 50, inf))
"""Statistics that are told of every option, beside those of the objectives."""
CURVE: Final = (0.1, 0.5, 0.8, 1.0, 1.25)
"""Rates of the curve, as parts of the highest one that holds."""
CURVE_PART: Final = 0.5
"""Of the usual number of requests for each point of it."""
RATE_STEPS: Final = 3
FARTHEST: Final = 8.0
"""The highest rate is sought up to so many times the wanted one."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A statistic at a rate: over the seeds as expected, and at both ends of the engines' band."""

    rate_per_s: float
    value: Band


@dataclass(frozen=True, slots=True)
class Loss:
    """The pool without its fullest node. `value` is that of the first objective; None where nothing answers then.

    `words` say what is left of it.
    """

    gpus: int
    holds: bool
    value: float | None
    words: str


@dataclass(frozen=True, slots=True)
class Option:
    """`latency` maps the name of a statistic to its value with the engines' band, in seconds.

    `highest_per_s` is the highest rate that is seen to hold the objectives as expected, `missed_per_s` the lowest that
    surely does not (None: none was found). `holds_at_worst`: they are held even at
    the slow end of the engines' band; `safe_gpus` would be needed for that (None: no number of them would do).
    """

    sized: Sized
    latency: dict[str, Band]
    failed_share: float
    highest_per_s: float
    missed_per_s: float | None
    holds_at_worst: bool
    safe_gpus: int | None
    curve: tuple[Spot, ...]
    expense: Expense
    bottleneck: str
    loss: Loss

    @property
    def layout(self) -> Layout:
        """Its plan."""
        return self.sized.layout

    def headroom(self, rate_per_s: float) -> tuple[float, float | None]:
        """By how much the rate may grow (0.4 is 40%), and by how much it surely may not (None: not known)."""
        missed = None if self.missed_per_s is None else self.missed_per_s / rate_per_s - 1
        return self.highest_per_s / rate_per_s - 1, missed


def detailed(sized: Sized, question: Question) -> Option:
    """All of it, by further simulations."""
    layout, load = sized.layout, question.load
    slow = replace(question, band_end=1.0, most_seeds=SEEDS)
    fast = replace(question, band_end=-1.0)
    traffic = question.traffic(layout.team)
    ends = [asked.predicted(layout.places, traffic) for asked in (fast, slow)]
    statistics = (*SHOWN, *(o for o in question.objectives if o.name not in {shown.name for shown in SHOWN}))
    safe = holds(ends[1], question.objectives)
    highest, missed = _rates(layout, question)
    above = question.predicted(layout.places, question.traffic(layout.team, 1.15 * highest / load.rate_per_s))
    return Option(
        sized=sized,
        latency={o.name: _band(o, ends[0], sized.prediction, ends[1]) for o in statistics},
        failed_share=sized.prediction.failed_share,
        highest_per_s=highest,
        missed_per_s=missed,
        holds_at_worst=safe,
        safe_gpus=layout.gpus if safe else _safe_gpus(sized, slow),
        curve=tuple(_spot(layout, question, part * highest) for part in CURVE),
        expense=expense(layout.kind, layout.gpus, load, layout.places, sized.prediction.busy),
        bottleneck=bottleneck(layout, above),
        loss=_loss(layout, question),
    )


def _band(objective: Objective, fast: Prediction, expected: Prediction, slow: Prediction) -> Band:
    """From the fast end of the engines' band to the slow one; both widened by what seeds do."""
    ends = [prediction.estimate(objective) for prediction in (fast, expected, slow)]
    return Band(min(e.low for e in ends), ends[1].mean, max(e.high for e in ends))


def _spot(layout: Layout, question: Question, rate_per_s: float) -> Spot:
    traffic = question.traffic(layout.team, rate_per_s / question.load.rate_per_s)
    found = [
        replace(question, band_end=end).predicted(layout.places, traffic, 1 if end else 2, part=CURVE_PART)
        for end in (-1.0, 0.0, 1.0)
    ]
    return Spot(rate_per_s, _band(question.objectives[0], *found))


def _rates(layout: Layout, question: Question) -> tuple[float, float | None]:
    """The highest rate that is seen to hold, and the lowest that surely does not; None: none up to FARTHEST times."""
    held, missed = 1.0, FARTHEST
    found: dict[float, Prediction] = {}

    def look(times: float) -> bool:
        found[times] = question.predicted(layout.places, question.traffic(layout.team, times))
        return holds(found[times], question.objectives)

    while held < FARTHEST:
        if not look(2 * held):
            missed = 2 * held
            break
        held *= 2
    for _ in range(RATE_STEPS if held < FARTHEST else 0):
        middle = (held * missed) ** 0.5
        held, missed = (middle, missed) if look(middle) else (held, middle)
    rate = question.load.rate_per_s
    sure = [times for times, each in found.items() if times > held and misses(each, question.objectives)]
    return held * rate, min(sure) * rate if sure else None


def _safe_gpus(sized: Sized, slow: Question) -> int | None:
    found = smallest_from(sized.layout, slow)
    return None if isinstance(found, TooSmall) else found.layout.gpus


def _loss(layout: Layout, question: Question) -> Loss:
    nodes = nodes_without_one(layout.kind, layout.gpus)
    left = sum(len(node.accelerators) for node in nodes)
    objective = question.objectives[0]
    if not nodes:
        return Loss(0, False, None, "all stands on one node: without it nothing answers")
    load = question.load
    demand = layout.team.demand(load.hard_share, load.rate_per_s)
    found = lay_out(layout.team, layout.kind, nodes, demand, question.book)
    if isinstance(found, Unplaceable):
        return Loss(left, False, None, f"its models do not all fit on the {left} GPUs that are left")
    prediction = question.predicted(found.places, question.traffic(layout.team))
    kept, value = holds(prediction, question.objectives), prediction.estimate(objective).mean
    state = "still holds" if kept else "does not hold"
    failed = f", {prediction.failed_share:.0%} of the requests fail" if prediction.failed_share >= 0.005 else ""
    shown = "beyond all bounds" if value == inf else f"{value:.3g} s"
    words = f"{left} GPUs are left once its models are placed anew; {objective} {state}: {shown}{failed}"
    return Loss(left, kept, value, words)


def by_price(options: Sequence[Sized]) -> list[Sized]:
    """Cheapest first; of equal ones the one whose name comes first."""
    return sorted(options, key=lambda o: (o.layout.price_per_hour, o.layout.kind.kind, o.layout.team.name))
