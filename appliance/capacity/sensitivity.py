"""How the first objective moves when one assumption is wrong: rate, share of hard requests, lengths. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from appliance.capacity.layout import Layout
from appliance.capacity.prediction import Prediction
from appliance.capacity.sizing import Question, holds

CHANGE: Final = 0.25
"""Rate and lengths are changed by this part, the share of hard requests by twice of it."""


@dataclass(frozen=True, slots=True)
class Swing:
    """The first objective's value where one assumption is lower and where it is higher, and whether all then hold."""

    name: str
    low_label: str
    low_s: float
    low_holds: bool
    high_label: str
    high_s: float
    high_holds: bool


@dataclass(frozen=True, slots=True)
class _Change:
    """An assumption: `of` makes another question and layout of one, for a factor."""

    name: str
    factors: tuple[float, float]
    labels: tuple[str, str]
    of: Callable[[Question, Layout, float], tuple[Question, Layout]]


@dataclass(frozen=True, slots=True)
class _Looking:
    """A look at the layout under another assumption; it can be sent to another process."""

    layout: Layout
    question: Question

    def __call__(self, _changed: tuple[str, float]) -> Prediction:
        name, factor = _changed
        question, layout = next(change for change in CHANGES if change.name == name).of(
            self.question, self.layout, factor
        )
        return question.predicted(layout.places, question.traffic(layout.team))


def sensitivity(layout: Layout, question: Question, mapped: Any = map) -> tuple[Swing, ...]:
    """Of a layout as it stands: nothing is placed anew."""
    mixed = question.load.hard_share > 0 and layout.team.easy != layout.team.hard
    changes = [change for change in CHANGES if mixed or change.name != HARD]
    looks = [(change.name, factor) for change in changes for factor in change.factors]
    found = dict(zip(looks, mapped(_Looking(layout, question), looks), strict=True))
    objective = question.objectives[0]
    swings = []
    for change in changes:
        low, high = (found[change.name, factor] for factor in change.factors)
        swings.append(
            Swing(
                change.name,
                change.labels[0],
                low.estimate(objective).mean,
                holds(low, question.objectives),
                change.labels[1],
                high.estimate(objective).mean,
                holds(high, question.objectives),
            )
        )
    return tuple(swings)


def _rate(question: Question, layout: Layout, factor: float) -> tuple[Question, Layout]:
    return replace(question, load=question.load.scaled(factor)), layout


def _hard(question: Question, layout: Layout, factor: float) -> tuple[Question, Layout]:
    share = min(1.0, question.load.hard_share * factor)
    return replace(question, load=replace(question.load, hard_share=share)), layout


def _lengths(question: Question, layout: Layout, factor: float) -> tuple[Question, Layout]:
    return question, replace(layout, team=layout.team.longer(factor))


HARD: Final = "share of hard requests"
CHANGES: Final = (
    _Change("requests per second", (1 - CHANGE, 1 + CHANGE), (f"-{CHANGE:.0%}", f"+{CHANGE:.0%}"), _rate),
    _Change(HARD, (1 - 2 * CHANGE, 1 + 2 * CHANGE), (f"-{2 * CHANGE:.0%}", f"+{2 * CHANGE:.0%}"), _hard),
    _Change("length of prompts and answers", (1 - CHANGE, 1 + CHANGE), (f"-{CHANGE:.0%}", f"+{CHANGE:.0%}"), _lengths),
)
