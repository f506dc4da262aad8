"""Targets side by side: quality with its interval, cost, time and fan-out, and whether orchestrating pays. Pure.

A single model is given what the orchestrated answer took: where its samples were drawn (`self-consistency:MODEL@N`),
as many of them are taken as cost at least as many GPU-seconds per task. Such a row is named `MODEL@=TARGET`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from appliance.evaluation.attempt import Attempt, Cost
from appliance.evaluation.paired import Difference, Interval, bootstrap, difference, tasks_needed
from appliance.evaluation.standing import Standing, by_class, samples_for, standings
from appliance.evaluation.target import Target

EVERYTHING: Final = "all tasks"
MARGIN: Final = 0.02
"""Qualities that differ by less are equally good: then the cheaper target is better."""
_SEED: Final = 20_261


@dataclass(frozen=True, slots=True)
class Row:
    """One target on one class of tasks. Cost is per task; `samples` of a majority. Seconds are those of the caller."""

    target: str
    task_class: str
    orchestrated: bool
    tasks: int
    quality: Interval
    gpu_s: float
    seconds_p50: float
    seconds_p95: float
    cost: Cost
    errors: int
    samples: int = 1
    note: str = ""

    def as_document(self, gpu_hour_price: float | None) -> dict[str, Any]:
        """For JSON; money per task by the price of a GPU-hour."""
        count = max(1, self.tasks)
        return {
            "target": self.target,
            "class": self.task_class,
            "tasks": self.tasks,
            "quality": self.quality.as_document(),
            "gpu_seconds_per_task": self.gpu_s,
            "money_per_task": None if gpu_hour_price is None else self.gpu_s * gpu_hour_price / 3600,
            "seconds_p50": self.seconds_p50,
            "seconds_p95": self.seconds_p95,
            "tokens_per_task": self.cost.tokens / count,
            "calls_per_task": self.cost.calls / count,
            "tokens_by_role_per_task": {role: n / count for role, n in self.cost.tokens_by_role.items()},
            "calls_by_role_per_task": {role: n / count for role, n in self.cost.calls_by_role.items()},
            "gpu_seconds_by_role_per_task": {role: s / count for role, s in self.cost.gpu_s_by_role.items()},
            "errors": self.errors,
            "samples": self.samples,
            "note": self.note,
        }


class Advice(StrEnum):
    """What to do for a class of tasks."""

    ORCHESTRATE = "orchestrate"
    SINGLE = "single model"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class ClassVerdict:
    """For one class: the best orchestrated target against the best single one, and what follows in plain words.

    `more_tasks` is what is missing where nothing can be told.
    """

    task_class: str
    advice: Advice
    orchestrated: str
    single: str
    difference: Difference
    cost_ratio: float
    words: str
    more_tasks: int = 0

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "class": self.task_class,
            "advice": self.advice.value,
            "orchestrated": self.orchestrated,
            "single": self.single,
            "difference": self.difference.as_document(),
            "gpu_seconds_ratio": self.cost_ratio,
            "words": self.words,
            "more_tasks": self.more_tasks,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows (every target on every class and on everything), and a verdict for each class."""

    rows: tuple[Row, ...]
    verdicts: tuple[ClassVerdict, ...]
    judge_agreement: float | None = None
    notes: tuple[str, ...] = field(default=())

    def row(self, target: str, task_class: str = EVERYTHING) -> Row:
        """One of them. Raises KeyError."""
        for row in self.rows:
            if (row.target, row.task_class) == (target, task_class):
                return row
        raise KeyError(f"{target} on {task_class}")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A target as it is compared."""

    name: str
    orchestrated: bool
    found: Mapping[str, Standing]
    samples: int = 1
    note: str = ""


def compare(attempts: Sequence[Attempt], targets: Sequence[Target], *, virtual_model: str) -> Comparison:
    """Everything that a report says. Only tasks that all targets tried are compared."""
    common = _common(attempts, targets)
    entries = list(_entries(attempts, targets, common, virtual_model))
    classes = by_class(entries[0].found) if common else {}
    groups = {EVERYTHING: tuple(entries[0].found)} if common else {}
    if len(classes) > 1:
        groups |= {name: tuple(tasks) for name, tasks in classes.items()}
    rows = tuple(_row(entry, name, tasks) for name, tasks in groups.items() for entry in entries)
    made = (_verdict(entries, name, tasks) for name, tasks in groups.items())
    agreed = [a.judge_agreed for a in attempts if a.judge_agreed is not None]
    tried = {a.task_id for a in attempts}
    notes = (f"{len(tried - common)} of {len(tried)} tasks were not tried by every target and are left out",)
    return Comparison(
        rows,
        tuple(verdict for verdict in made if verdict is not None),
        sum(agreed) / len(agreed) if agreed else None,
        notes if tried - common else (),
    )


def _common(attempts: Sequence[Attempt], targets: Sequence[Target]) -> set[str]:
    tried = [{a.task_id for a in attempts if a.target == target.name} for target in targets]
    return set.intersection(*tried) if tried else set()


def _entries(
    attempts: Sequence[Attempt], targets: Sequence[Target], common: set[str], virtual_model: str
) -> Sequence[_Entry]:
    def of(name: str, samples: int | None = None) -> dict[str, Standing]:
        return {task: s for task, s in standings(attempts, name, samples).items() if task in common}

    entries = [_Entry(t.name, t.model == virtual_model, of(t.name), t.samples) for t in targets]
    for target in targets:
        if not target.votes or target.model == virtual_model or not common:
            continue
        for rival in entries[: len(targets)]:
            if not rival.orchestrated:
                continue
            spent = sum(s.gpu_s for s in rival.found.values()) / len(rival.found)
            count, enough = samples_for(attempts, target.name, spent, common)
            note = "" if enough else f"all {count} samples take less than {rival.name}; draw more of them"
            name = f"{target.model}@={rival.name}"
            entries.append(_Entry(name, False, of(target.name, count), count, note))
    return entries


def _row(entry: _Entry, name: str, tasks: Sequence[str]) -> Row:
    found = [entry.found[task] for task in tasks]
    cost = sum((s.cost for s in found), Cost())
    seconds = [value for s in found for value in s.seconds]
    return Row(
        target=entry.name,
        task_class=name,
        orchestrated=entry.orchestrated,
        tasks=len(found),
        quality=bootstrap([s.score for s in found], seed=_SEED),
        gpu_s=_mean([s.gpu_s for s in found]),
        seconds_p50=percentile(seconds, 50),
        seconds_p95=percentile(seconds, 95),
        cost=cost,
        errors=sum(s.errors for s in found),
        samples=entry.samples,
        note=entry.note,
    )


def _verdict(entries: Sequence[_Entry], name: str, tasks: Sequence[str]) -> ClassVerdict | None:
    """None where there is nothing to choose between.

    The interval is the wider the more targets were chosen among: each comparison gets its share of the 5% (Bonferroni).
    """
    teams, singles = [e for e in entries if e.orchestrated], [e for e in entries if not e.orchestrated]
    if not teams or not singles:
        return None
    team, single = _best(teams, tasks), _best(singles, tasks)
    ours, theirs = _scores(team, tasks), _scores(single, tasks)
    found = difference(ours, theirs, seed=_SEED, confidence=1 - 0.05 / (len(teams) * len(singles)))
    our_cost, their_cost = _gpu_s(team, tasks), _gpu_s(single, tasks)
    ratio = our_cost / their_cost if their_cost > 0 else float("inf") if our_cost > 0 else 1.0
    advice, words, more = _advice(
        team.name, single.name, found, ratio, [a - b for a, b in zip(ours, theirs, strict=True)]
    )
    return ClassVerdict(name, advice, team.name, single.name, found, ratio, words, more)


def _advice(team: str, single: str, found: Difference, ratio: float, gaps: Sequence[float]) -> tuple[Advice, str, int]:
    points, low, high = (100 * value for value in (found.interval.mean, found.interval.low, found.interval.high))
    seen = f"{points:+.1f} points ({low:+.1f} to {high:+.1f}) at {ratio:.2g}× the GPU-seconds of {single}"
    if found.interval.low > 0:
        return Advice.ORCHESTRATE, f"{team}: {seen}", 0
    if found.interval.high < 0:
        return Advice.SINGLE, f"{single} alone is better than {team}: {seen}", 0
    if found.interval.low >= -MARGIN and found.interval.high <= MARGIN:
        if ratio < 1:
            return Advice.ORCHESTRATE, f"{team} is as good and takes less: {seen}", 0
        return Advice.SINGLE, f"{single} alone is as good and takes no more: {seen}", 0
    more = max(1, tasks_needed(gaps, MARGIN) - found.tasks)
    return Advice.UNKNOWN, f"{team} and {single} can't be told apart: {seen}; about {more} more tasks are needed", more


def _best(entries: Sequence[_Entry], tasks: Sequence[str]) -> _Entry:
    """The highest quality; among equals the cheaper one, then the one named first."""
    return max(entries, key=lambda e: (_mean(_scores(e, tasks)), -_gpu_s(e, tasks), -entries.index(e)))


def _scores(entry: _Entry, tasks: Sequence[str]) -> list[float]:
    return [entry.found[task].score for task in tasks]


def _gpu_s(entry: _Entry, tasks: Sequence[str]) -> float:
    return _mean([entry.found[task].gpu_s for task in tasks])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def percentile(values: Sequence[float], q: float) -> float:
    """The `q`-th percentile (0 to 100) by linear interpolation; 0.0 of no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    position = (len(ordered) - 1) * q / 100
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
