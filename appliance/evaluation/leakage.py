"""Tasks that stand in two suites, or nearly: what was trained or tuned on says nothing when it is graded. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.coordinator.voting import normalised
from appliance.evaluation.suite import Task

NEAR: Final = 0.8
"""Share of common word triples (Jaccard) from which on two tasks count as nearly the same."""
_WORD = re.compile(r"\w+")
_SIZE: Final = 3


@dataclass(frozen=True, slots=True)
class Leak:
    """A task and the one of the other suite that it repeats; `likeness` is 1 where both say the same."""

    task_id: str
    other_id: str
    likeness: float


def leaks(tasks: Sequence[Task], others: Sequence[Task], near: float = NEAR) -> tuple[Leak, ...]:
    """The closest other task of each task that is `near` to one. Numbers count, so the same wording may differ by them.

    Only tasks that share a rare triple of words are compared, so it takes no time that grows with the product.
    """
    same = {normalised(other.text): other.task_id for other in others}
    shapes = {other.task_id: _shape(other.text) for other in others}
    holders: dict[str, list[str]] = {}
    for other_id, shape in shapes.items():
        for triple in shape:
            holders.setdefault(triple, []).append(other_id)
    found = []
    for task in tasks:
        if (exact := same.get(normalised(task.text))) is not None:
            found.append(Leak(task.task_id, exact, 1.0))
        elif (close := _closest(task, shapes, holders, near)) is not None:
            found.append(close)
    return tuple(found)


def _closest(task: Task, shapes: dict[str, frozenset[str]], holders: dict[str, list[str]], near: float) -> Leak | None:
    shape = _shape(task.text)
    # Two sets that share at least `near` of their union share one of any (1 - near) of either's members.
    rarest = sorted(shape, key=lambda triple: len(holders.get(triple, ())))
    looked = rarest[: len(rarest) - int(near * len(rarest)) + 1]
    candidates = Counter(other for triple in looked for other in holders.get(triple, ()))
    likeness = {other: len(shape & shapes[other]) / len(shape | shapes[other]) for other in candidates}
    best = max(likeness, key=lambda other: (likeness[other], other), default=None)
    if best is None or likeness[best] < near:
        return None
    return Leak(task.task_id, best, likeness[best])


def _shape(text: str) -> frozenset[str]:
    words = _WORD.findall(text.casefold())
    return frozenset(" ".join(words[i : i + _SIZE]) for i in range(max(1, len(words) - _SIZE + 1)))
