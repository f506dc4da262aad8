"""Prompts with what each way of answering them was worth, from runs of a suite under several targets. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from appliance.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one arm on one task: quality in [0, 1] and GPU-seconds."""

    quality: float
    gpu_s: float


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt with the outcome of every arm, and its embedding where heads are to see it."""

    task_id: str
    task_class: str
    text: str
    outcomes: Mapping[str, Outcome]
    embedding: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Examples:
    """All of them; every one has every arm."""

    arms: tuple[str, ...]
    items: tuple[Example, ...]

    def __post_init__(self) -> None:
        if len(self.arms) < 2:
            raise ConfigError("a router needs runs of at least two targets of the virtual model to choose between")
        if not self.items:
            raise ConfigError("no task was tried by every target; let the run go on before a router is trained")
        for item in self.items:
            for arm in self.arms:
                outcome = item.outcomes[arm]
                if not (isfinite(outcome.quality) and isfinite(outcome.gpu_s)):
                    raise ConfigError(f"task {item.task_id}: {arm} has a score or cost that is not a number")
            if len(item.embedding) != len(self.items[0].embedding) or not all(map(isfinite, item.embedding)):
                raise ConfigError(
                    f"task {item.task_id}: its embedding is not as long as the others, or holds no number"
                )

    @property
    def digest(self) -> str:
        """Of the prompts and outcomes, in any order."""
        rows = sorted(
            [
                item.task_id,
                item.text,
                [[arm, item.outcomes[arm].quality, item.outcomes[arm].gpu_s] for arm in self.arms],
            ]
            for item in self.items
        )
        return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()

    def qualities(self) -> NDArray[np.float64]:
        """Tasks × arms."""
        return np.array([[item.outcomes[arm].quality for arm in self.arms] for item in self.items])

    def gpu_seconds(self) -> NDArray[np.float64]:
        """Tasks × arms."""
        return np.array([[item.outcomes[arm].gpu_s for arm in self.arms] for item in self.items])

    def rewards(self, worth: float) -> NDArray[np.float64]:
        """Quality less what the GPU-seconds are worth: tasks × arms."""
        return self.qualities() - worth * self.gpu_seconds()

    def part(self, places: Sequence[int]) -> Examples:
        """Only these."""
        return Examples(self.arms, tuple(self.items[place] for place in places))


def usual_worth(examples: Examples) -> float:
    """What a GPU-second is worth in quality where nobody says: the dearest arm costs a tenth of a right answer."""
    dearest = float(examples.gpu_seconds().mean(axis=0).max())
    return 0.1 / dearest if dearest > 0 else 0.0
