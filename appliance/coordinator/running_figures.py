"""Figures learned while requests end: means that forget slowly, and quantiles of what was lately seen. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, exp, log
from statistics import NormalDist

_FORGETTING = 0.03
"""Least weight of a new value: a mean follows a change within some dozens of them."""
_LEARNED = 20
"""From so many values on, quantiles are theirs alone."""
_KEPT = 256
_PRIOR_SIGMA = 0.6
"""Before that, ratios are thought to spread so much around 1 (standard deviation of the logarithm)."""
_PRIOR_RATIOS = tuple(NormalDist(0.0, _PRIOR_SIGMA).inv_cdf((index + 0.5) / 12) for index in range(12))


@dataclass(slots=True)
class Mean:
    """A mean that begins at a prior, which counts as much as `weight` values, and forgets slowly."""

    value: float
    weight: float = 1.0
    seen: int = 0

    def add(self, value: float) -> None:
        """One more value."""
        self.seen += 1
        share = 1 / (self.seen + self.weight)
        self.value += (value - self.value) * (share if share > _FORGETTING else _FORGETTING)


@dataclass(slots=True)
class Ratios:
    """How outcomes compared with what was forecast, as quantiles of the last ones."""

    _logs: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    @property
    def seen(self) -> int:
        """Outcomes so far, as far as they are kept."""
        return len(self._logs)

    def add(self, outcome: float, forecast: float) -> None:
        """One more outcome; nothing can be learned where either is 0."""
        if outcome > 0 and forecast > 0:
            self._logs.append(log(outcome / forecast))

    def quantile(self, share: float) -> float:
        """The ratio that `share` of outcomes stay at or below: of n outcomes the ⌈share × (n + 1)⌉-th smallest.

        That rank keeps its promise for the next outcome, whatever the distribution (split conformal prediction, Vovk
        et al. 2005); of few outcomes it is the largest.
        """
        few = len(self._logs) < _LEARNED
        return exp(_ranked([*self._logs, *(_PRIOR_RATIOS if few else ())], share))


def _ranked(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered), ceil(share * (len(ordered) + 1))) - 1]
