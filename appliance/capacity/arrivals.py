"""Requests of one mix at one rate, drawn from a profile's samples. Pure: the seed decides every draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import accumulate

import numpy as np

from appliance.capacity.setup import Arrival
from appliance.capacity.trees import TreeSample
from appliance.errors import ConfigError

_DRAWN_AT_ONCE = 4096


class Process(StrEnum):
    """How requests come: at equal gaps, at random ones, or in bursts (gaps with a coefficient of variation of 2)."""

    CONSTANT = "constant"
    POISSON = "poisson"
    BURSTS = "bursts"


def arrivals(
    trees: Mapping[str, Sequence[TreeSample]],
    mix: Mapping[str, float],
    rate: float,
    until_s: float,
    seed: int,
    process: Process = Process.POISSON,
) -> Iterator[Arrival]:
    """Requests at `rate` per second. `mix`: class of traffic → weight. Raises ConfigError where that is nothing."""
    if not rate > 0 or rate == float("inf"):
        raise ConfigError(f"a rate of {rate:g} requests per second can't be simulated; it must be more than 0")
    if any(not weight >= 0 for weight in mix.values()) or not sum(mix.values()) > 0:
        raise ConfigError("the mix of traffic needs weights of 0 or more, and one above 0")
    names = [name for name, weight in mix.items() if weight > 0]
    if missing := [name for name in names if not trees.get(name)]:
        raise ConfigError(f"there are no requests of the class {missing[0]} to draw from")
    return _drawn(trees, names, [mix[name] for name in names], rate, until_s, seed, process)


def _drawn(
    trees: Mapping[str, Sequence[TreeSample]],
    names: Sequence[str],
    weights: Sequence[float],
    rate: float,
    until_s: float,
    seed: int,
    process: Process,
) -> Iterator[Arrival]:
    draw = np.random.default_rng(seed)
    shares = np.array(weights) / sum(weights)
    bounds = np.array(list(accumulate(shares)))
    now_s = 0.0
    while True:
        gaps = _gaps(draw, process) / rate
        classes = np.minimum(np.searchsorted(bounds, draw.random(_DRAWN_AT_ONCE)), len(names) - 1)
        picks = draw.random(_DRAWN_AT_ONCE)
        for gap, kind, pick in zip(gaps.tolist(), classes.tolist(), picks.tolist(), strict=True):
            now_s += gap
            if now_s >= until_s:
                return
            of_class = trees[names[kind]]
            yield Arrival(now_s, names[kind], of_class[int(pick * len(of_class))])


def _gaps(draw: np.random.Generator, process: Process) -> np.ndarray:
    """Gaps with a mean of 1."""
    match process:
        case Process.CONSTANT:
            return np.ones(_DRAWN_AT_ONCE)
        case Process.POISSON:
            return draw.exponential(1.0, _DRAWN_AT_ONCE)
        case Process.BURSTS:
            return draw.gamma(0.25, 4.0, _DRAWN_AT_ONCE)
