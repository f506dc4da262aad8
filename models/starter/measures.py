"""Figures of merit: accuracy with an interval, calibration, and a paired test."""

import math
from collections.abc import Sequence


def share(hits: Sequence[bool]) -> float:
    """The share that is true, rounded to four places; 0 of nothing."""
    return round(sum(hits) / len(hits), 4) if hits else 0.0


def calibration_error(probabilities: Sequence[float], outcomes: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error: the mean gap of probability and frequency over equal bins (Naeini et al., 2015)."""
    gap = 0.0
    for b in range(bins):
        inside = [i for i, p in enumerate(probabilities) if min(int(p * bins), bins - 1) == b]
        if inside:
            mean = sum(probabilities[i] for i in inside) / len(inside)
            frequency = sum(outcomes[i] for i in inside) / len(inside)
            gap += abs(mean - frequency) * len(inside) / len(probabilities)
    return round(gap, 5)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> dict[str, float | int]:
    """The exact two-sided McNemar test of two ways on the same problems."""
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    n, least = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, i) for i in range(least + 1)) * 2
    p = min(1.0, tail / 2**n)
    return {"only_first": only_first, "only_second": only_second, "p": float(f"{p:.3g}")}
