"""Paired comparison of two ways to answer the same problems (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import comb

from appliance.evaluation.intervals import wilson_interval as wilson_interval


def mcnemar_p(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Two-sided exact McNemar p-value of the hypothesis that both ways are right equally often.

    `first[i]` and `second[i]` say whether problem i was answered rightly. Source: the binomial test on the discordant
    pairs (McNemar 1947, exact form).
    """
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    n = only_first + only_second
    tail = sum(comb(n, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, tail / 2.0 ** (n - 1))


def majority(answers: Sequence[str]) -> str:
    """The most frequent answer; among equals the one that came first. Raises ValueError without answers."""
    if not answers:
        raise ValueError("majority of no answers")
    counts = Counter(answers)
    return max(counts, key=lambda answer: (counts[answer], -answers.index(answer)))


def percentile(values: Sequence[float], q: float) -> float:
    """The `q`-th percentile (0 to 100) by linear interpolation; 0.0 of no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    position = (len(ordered) - 1) * q / 100
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
