"""Counters and histograms that one thread writes: a dict and a list each, without a lock.

The client library's own take a lock and find the child by its labels each time, several microseconds for what a
request counts. Names and form of the exposition are the same; whoever reads them notices nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """One series of a counter."""

    value: float = 0.0


@dataclass(slots=True)
class Cell:
    """One series of a histogram: how many values fell between its bounds, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int]
    sum: float = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


def observe_all(*observed: tuple[Cell, float]) -> None:
    """Count one value into each: one call for all of them, because a request counts into eight."""
    for cell, value in observed:
        cell.counts[bisect_left(cell.bounds, value)] += 1
        cell.sum += value


class Counts(Collector):
    """A counter by labels. `name` has no `_total` at its end."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._values: dict[Labels, Tally] = {}
        registry.register(self)

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        """Count so much more; one value for each label, in their order."""
        self.cell(labels).value += amount

    def cell(self, labels: Labels) -> Tally:
        """The series of these labels, for whoever counts into it again and again."""
        tally = self._values.get(labels)
        if tally is None:
            tally = self._values[labels] = Tally()
        return tally

    def collect(self) -> Iterable[CounterMetricFamily]:
        """What was counted."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, tally in self._values.items():
            family.add_metric(labels, tally.value)
        return [family]

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Its name, before anything was counted."""
        return [CounterMetricFamily(self._name, self._documentation, labels=self._labels)]


class Buckets(Collector):
    """A histogram by labels. `bounds` rise; what is above the last one counts in +Inf."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._bounds = tuple(float(bound) for bound in bounds)
        self._cells: dict[Labels, Cell] = {}
        registry.register(self)

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value."""
        self.cell(labels).observe(value)

    def cell(self, labels: Labels) -> Cell:
        """The series of these labels, for whoever counts into it again and again."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = Cell(self._bounds, [0] * (len(self._bounds) + 1))
        return cell

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """What was counted, each bucket with those below it."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, cell in self._cells.items():
            total, buckets = 0, []
            for name, count in zip(names, cell.counts, strict=True):
                total += count
                buckets.append((name, float(total)))
            family.add_metric(labels, buckets, cell.sum)
        return [family]

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Its name, before anything was counted."""
        return [HistogramMetricFamily(self._name, self._documentation, labels=self._labels)]
