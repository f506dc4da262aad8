"""What a target is worth on each task: its score, what it took and how long, over repeats and samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from appliance.coordinator.voting import Ballot, winner
from appliance.evaluation.attempt import Attempt, Cost


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one target on one task; means over repeats. `seconds` are those of each repeat."""

    task_id: str
    task_class: str
    score: float
    cost: Cost
    gpu_s: float
    seconds: tuple[float, ...]
    errors: int = 0


def standings(attempts: Iterable[Attempt], target: str, samples: int | None = None) -> dict[str, Standing]:
    """Task id → standing of `target`, by the majority of its first `samples` samples (None: all of them).

    Samples are drawn at the same time, so the slowest one decides how long a majority takes.
    """
    groups: dict[str, dict[int, list[Attempt]]] = {}
    for attempt in attempts:
        if attempt.target == target and (samples is None or attempt.sample < samples):
            groups.setdefault(attempt.task_id, {}).setdefault(attempt.repeat, []).append(attempt)
    return {task_id: _standing(list(repeats.values())) for task_id, repeats in groups.items()}


def samples_for(attempts: Sequence[Attempt], target: str, gpu_s: float, tasks: Iterable[str]) -> tuple[int, bool]:
    """The fewest samples of `target` that take at least `gpu_s` per task on average, and whether there are enough."""
    wanted = set(tasks)
    drawn = sorted({a.sample for a in attempts if a.target == target})
    for count in range(1, len(drawn) + 1):
        found = [s for task_id, s in standings(attempts, target, count).items() if task_id in wanted]
        if found and sum(s.gpu_s for s in found) / len(found) >= gpu_s:
            return count, True
    return max(len(drawn), 1), False


def by_class(found: Mapping[str, Standing]) -> dict[str, dict[str, Standing]]:
    """Task class → task id → standing, in the order in which the classes come first."""
    classes: dict[str, dict[str, Standing]] = {}
    for task_id, standing in found.items():
        classes.setdefault(standing.task_class, {})[task_id] = standing
    return classes


def _standing(repeats: Sequence[Sequence[Attempt]]) -> Standing:
    first, count = repeats[0][0], len(repeats)
    total = Cost()
    for attempts in repeats:
        for attempt in attempts:
            total += attempt.cost
    return Standing(
        task_id=first.task_id,
        task_class=first.task_class,
        score=sum(_score(attempts) for attempts in repeats) / count,
        cost=total,
        gpu_s=total.gpu_s / count,
        seconds=tuple(max(a.seconds for a in attempts) for attempts in repeats),
        errors=sum(bool(a.error) for attempts in repeats for a in attempts),
    )


def _score(attempts: Sequence[Attempt]) -> float:
    """Of the majority's answer; one that is yet to be judged counts as 0."""
    answered = sorted((a for a in attempts if not a.error), key=lambda a: a.sample)
    if not answered:
        return 0.0
    chosen, _ = winner([Ballot(number, a.key) for number, a in enumerate(answered, 1)])
    return answered[chosen.number - 1].score or 0.0
