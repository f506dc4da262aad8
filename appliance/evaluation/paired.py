"""Paired statistics of scores: intervals by the bootstrap, p-values, and how many tasks a question would take. Pure.

`seed` decides every draw, so the same scores give the same figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb
from typing import Any, Final

import numpy as np

RESAMPLES: Final = 2_000
Z_80: Final = 0.8416
"""Of a power of 80%."""
Z_95: Final = 1.96


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the ends of its interval."""

    mean: float
    low: float
    high: float

    def as_document(self) -> dict[str, float]:
        """For JSON."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Difference:
    """Of the mean scores of two targets on the same tasks, first less second, and the p-value of no difference.

    `method` names the test: the exact one of McNemar where every score is 0 or 1, else signs flipped at random.
    """

    tasks: int
    interval: Interval
    won: int
    lost: int
    p_value: float
    method: str

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "tasks": self.tasks,
            **self.interval.as_document(),
            "won": self.won,
            "lost": self.lost,
            "p_value": self.p_value,
            "method": self.method,
        }


def bootstrap(values: Sequence[float], *, seed: int, confidence: float = 0.95) -> Interval:
    """The mean and its percentile interval (Efron 1979) over RESAMPLES draws; (0, 0, 1) of nothing."""
    if not values:
        return Interval(0.0, 0.0, 1.0)
    scores = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(seed).integers(0, len(scores), size=(RESAMPLES, len(scores)))
    low, high = np.quantile(scores[draws].mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(scores.mean()), float(low), float(high))


def difference(first: Sequence[float], second: Sequence[float], *, seed: int, confidence: float = 0.95) -> Difference:
    """Of scores in the same order of tasks. Raises ValueError where they are not as many."""
    if len(first) != len(second):
        raise ValueError("paired scores are as many on both sides")
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    won, lost = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    binary = all(score in (0.0, 1.0) for score in (*first, *second))
    p_value = mcnemar_p(won, lost) if binary else _sign_flip_p(gaps, seed)
    spread = bootstrap(gaps, seed=seed, confidence=confidence) if gaps else Interval(0.0, -1.0, 1.0)
    return Difference(len(gaps), spread, won, lost, p_value, "McNemar, exact" if binary else "sign flips")


def mcnemar_p(won: int, lost: int) -> float:
    """Two-sided exact p-value of McNemar's test from the discordant pairs (McNemar 1947, binomial form)."""
    n = won + lost
    if n == 0:
        return 1.0
    tail: int = sum(comb(n, k) for k in range(min(won, lost) + 1))
    return min(1.0, 2 * tail / (1 << n))


def tasks_needed(gaps: Sequence[float], least: float) -> int:
    """Tasks with which a difference as large as the one seen (at least `least`) would be found at 5% with 80% power."""
    if len(gaps) < 2:
        return 2
    values = np.asarray(gaps, dtype=np.float64)
    size = max(abs(float(values.mean())), least)
    # Where all pairs agree the next one that doesn't is taken into account (rule of succession).
    variance = max(float(values.var(ddof=1)), 1.0 / (len(values) + 2))
    return ceil((Z_95 + Z_80) ** 2 * variance / size**2)


def _sign_flip_p(gaps: Sequence[float], seed: int) -> float:
    """Share of random sign flips whose mean is as far from 0 (Fisher's randomisation test)."""
    values = np.asarray(gaps, dtype=np.float64)
    if not values.any():
        return 1.0
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(RESAMPLES, len(values)))
    means = np.abs((signs * values).mean(axis=1))
    return float((1 + np.count_nonzero(means >= abs(values.mean()) - 1e-12)) / (1 + RESAMPLES))
