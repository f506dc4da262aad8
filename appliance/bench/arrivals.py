"""When requests are due: arrival processes at a rate that may rise or fall. Pure; `seed` decides every draw.

A process is drawn at the rate of one a second and then stretched to the wanted rate: the arrival that comes after
`u` seconds at rate one comes when the integral of the rate has reached `u`. (Çinlar, Introduction to Stochastic
Processes, 1975.)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np


def constant(rate: float, until: float, duration_s: float) -> tuple[float, ...]:
    """One after the other at equal distances, where `rate` and `until` (the rate at the end) are the same."""
    total = (rate + until) / 2 * duration_s
    return _stretched([float(n) for n in range(int(total) + 1)], rate, until, duration_s)


def poisson(rate: float, until: float, duration_s: float, *, seed: int) -> tuple[float, ...]:
    """Independent of each other."""
    return gamma(rate, until, duration_s, burstiness=1.0, seed=seed)


def gamma(rate: float, until: float, duration_s: float, *, burstiness: float, seed: int) -> tuple[float, ...]:
    """Gaps of a gamma distribution of shape `burstiness`: 1 is Poisson, less comes in bursts, more is more even."""
    total = (rate + until) / 2 * duration_s
    chance = np.random.default_rng(seed)
    arrivals: list[float] = []
    last = 0.0
    while last < total:
        number = int(total - last + 4 * sqrt(total / min(1.0, burstiness))) + 16
        gaps = chance.gamma(burstiness, 1.0 / burstiness, size=number)
        more = last + np.cumsum(gaps)
        arrivals += more.tolist()
        last = arrivals[-1]
    return _stretched(arrivals, rate, until, duration_s)


def replay(timestamps_s: Sequence[float], duration_s: float, *, speed: float = 1.0) -> tuple[float, ...]:
    """Recorded times from the first one on, `speed` times as fast; what comes after `duration_s` is left out."""
    if not timestamps_s:
        return ()
    ordered = sorted(timestamps_s)
    dues = ((at - ordered[0]) / speed for at in ordered)
    return tuple(due for due in dues if due < duration_s)


def _stretched(units: Sequence[float], rate: float, until: float, duration_s: float) -> tuple[float, ...]:
    """Arrivals at rate one → at a rate that goes from `rate` to `until` in a straight line."""
    slope = (until - rate) / duration_s
    found = np.asarray(units, dtype=np.float64)
    if abs(slope) < 1e-12:
        dues = found / rate
    else:
        inside = found[found < (rate + until) / 2 * duration_s]
        dues = 2 * inside / (rate + np.sqrt(rate * rate + 2 * slope * inside))
    return tuple(np.sort(dues[dues < duration_s]).tolist())  # rounding may have exchanged two of them
