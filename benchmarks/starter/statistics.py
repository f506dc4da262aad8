"""Paired comparison of two ways to answer the same problems (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from appliance.evaluation.comparison import percentile as percentile
from appliance.evaluation.intervals import wilson_interval as wilson_interval
from appliance.evaluation.paired import mcnemar_p as p_of_counts


def mcnemar_p(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Two-sided exact McNemar p-value; `first[i]` and `second[i]` say whether problem i was answered rightly."""
    won = sum(a and not b for a, b in zip(first, second, strict=True))
    lost = sum(b and not a for a, b in zip(first, second, strict=True))
    return p_of_counts(won, lost)


def majority(answers: Sequence[str]) -> str:
    """The most frequent answer; among equals the one that came first. Raises ValueError without answers."""
    if not answers:
        raise ValueError("majority of no answers")
    counts = Counter(answers)
    return max(counts, key=lambda answer: (counts[answer], -answers.index(answer)))
