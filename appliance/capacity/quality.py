"""What answers are worth, as an evaluation measured it, for easy and for hard requests. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.errors import ConfigError
from appliance.evaluation.comparison import EVERYTHING, Comparison, Row
from appliance.evaluation.paired import Interval


@dataclass(frozen=True, slots=True)
class Quality:
    """The mean score of a mix of requests with the ends of its 95% interval, and where it comes from.

    `by_class` are the scores on each class of the suite's tasks, for easy and hard requests.
    """

    score: Interval
    source: str
    by_class: Mapping[str, Mapping[str, Interval]]

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "score": self.score.as_document(),
            "source": self.source,
            "by_class": {
                target: {name: interval.as_document() for name, interval in found.items()}
                for target, found in self.by_class.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """An evaluation run: its comparison, its name, and which of its classes are the hard ones (empty: not said)."""

    comparison: Comparison
    name: str
    hard_classes: frozenset[str] = frozenset()

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the suite's tasks."""
        named = dict.fromkeys(row.task_class for row in self.comparison.rows if row.task_class != EVERYTHING)
        return tuple(named)

    def check(self) -> None:
        """Raises ConfigError where a class is called hard that the run does not have."""
        for name in sorted(self.hard_classes):
            if name not in self.classes:
                known = ", ".join(self.classes) or "one class alone"
                raise ConfigError(f"--hard-classes {name}: {self.name} has no such class of tasks; it has {known}")

    def quality(self, easy: str, hard: str, hard_share: float) -> Quality | None:
        """Of requests of which `hard_share` are answered by the target `hard`, the others by `easy`.

        None where one of the two was not measured. Where the hard classes are not known, both are taken at their score
        on all tasks.
        """
        easy_rows, hard_rows = self._rows(easy), self._rows(hard)
        if (hard_share < 1 and not easy_rows) or (hard_share > 0 and not hard_rows):
            return None
        parts = []
        if hard_share < 1:
            parts.append((1 - hard_share, self._score(easy_rows, hard=False)))
        if hard_share > 0:
            parts.append((hard_share, self._score(hard_rows, hard=True)))
        score = Interval(
            sum(weight * part.mean for weight, part in parts),
            sum(weight * part.low for weight, part in parts),
            sum(weight * part.high for weight, part in parts),
        )
        split = (
            "" if self.hard_classes or easy == hard else "; hard ones as all tasks of the suite (see --hard-classes)"
        )
        source = f"measured by {self.name}: {easy}" + ("" if easy == hard else f" and {hard}") + split
        rows = {easy: easy_rows, hard: hard_rows}
        return Quality(score, source, {t: {r.task_class: r.quality for r in found} for t, found in rows.items()})

    def _rows(self, target: str) -> list[Row]:
        return [row for row in self.comparison.rows if row.target == target]

    def _score(self, rows: Collection[Row], *, hard: bool) -> Interval:
        """Over the classes in question, weighted by their tasks; over all where they are not told apart."""
        if self.hard_classes:
            chosen = [r for r in rows if r.task_class != EVERYTHING and (r.task_class in self.hard_classes) is hard]
            tasks = sum(row.tasks for row in chosen)
            if tasks:
                return Interval(
                    sum(row.quality.mean * row.tasks for row in chosen) / tasks,
                    sum(row.quality.low * row.tasks for row in chosen) / tasks,
                    sum(row.quality.high * row.tasks for row in chosen) / tasks,
                )
        return next(row.quality for row in rows if row.task_class == EVERYTHING)
