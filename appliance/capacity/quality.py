"""What answers are worth, as an evaluation measured it, for easy and for hard requests. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from appliance.errors import ConfigError
from appliance.evaluation.comparison import EVERYTHING
from appliance.evaluation.paired import Interval


@dataclass(frozen=True, slots=True)
class Score:
    """Of a target on one class of a suite's tasks, or on all of them."""

    target: str
    task_class: str
    tasks: int
    quality: Interval


@dataclass(frozen=True, slots=True)
class Quality:
    """The mean score of a mix of requests with the ends of its 95% interval, and where it comes from.

    `by_class`: target → class of the suite's tasks → score.
    """

    score: Interval
    source: str
    by_class: Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True, slots=True)
class Measured:
    """An evaluation run of a pool of `models`. `hard_classes` are those of its classes that are hard; empty: not said.

    Raises ConfigError for a hard class that the run does not have.
    """

    scores: tuple[Score, ...]
    name: str
    virtual_model: str
    models: frozenset[str]
    hard_classes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        known = dict.fromkeys(score.task_class for score in self.scores if score.task_class != EVERYTHING)
        for name in sorted(self.hard_classes - set(known)):
            classes = ", ".join(known) or "one class alone"
            raise ConfigError(f"--hard-classes {name}: {self.name} has no such class of tasks; it has {classes}")

    def quality(self, easy: str, hard: str, hard_share: float) -> Quality | None:
        """Of requests of which `hard_share` are answered by the target `hard`, the others by `easy`.

        None where one of the two was not measured. Where the hard classes are not known, both are taken at their score
        on all tasks.
        """
        found = {target: [s for s in self.scores if s.target == target] for target in (easy, hard)}
        shares = [(easy, 1 - hard_share, False), (hard, hard_share, True)]
        parts = [(found[target], share, is_hard) for target, share, is_hard in shares if share > 0]
        if not all(scores for scores, _, _ in parts):
            return None
        mixed = _mean([(self._score(scores, hard=is_hard), share) for scores, share, is_hard in parts])
        apart = bool(self.hard_classes) or easy == hard
        names = easy if easy == hard else f"{easy} for easy and {hard} for hard requests"
        source = f"measured by {self.name}: {names}" + ("" if apart else ", each on all tasks (see --hard-classes)")
        return Quality(mixed, source, {t: {s.task_class: s.quality for s in scores} for t, scores in found.items()})

    def _score(self, scores: Collection[Score], *, hard: bool) -> Interval:
        """Over the classes in question, weighted by their tasks; over all where they are not told apart."""
        chosen = [s for s in scores if s.task_class != EVERYTHING and (s.task_class in self.hard_classes) is hard]
        if self.hard_classes and chosen:
            return _mean([(score.quality, score.tasks) for score in chosen])
        return next(score.quality for score in scores if score.task_class == EVERYTHING)


def _mean(parts: Sequence[tuple[Interval, float]]) -> Interval:
    total = sum(weight for _, weight in parts)
    return Interval(
        sum(part.mean * weight for part, weight in parts) / total,
        sum(part.low * weight for part, weight in parts) / total,
        sum(part.high * weight for part, weight in parts) / total,
    )
