"""Many devices: a bound is tightened step by step, and its shapes are the stuff that placements are mixed from.

The engines that the bound's program would run are almost a placement: they need not lie together in blocks. All full
sets of their shapes, and the blocks of greedy packings, are the columns of a mixture (`recombine.py`). Bound and
mixture alternate until the gap is small enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from appliance.placement.columns import Column, columns_of, fastest_alone, fullest
from appliance.placement.greedy import greedy, variants
from appliance.placement.packing import Packing, Put, highest_rate, holds, rate_of
from appliance.placement.recombine import Search, recombine
from appliance.placement.slice_bound import SliceBound, slice_bounds


@dataclass(frozen=True, slots=True)
class Mixing:
    """How long to go on: until the rate is within `gap` of the bound, or so many `mixtures` were sought.

    Before the first one the bound is tightened `bare_rounds` times. Each bound is solved to `bound_gap`; each mixture
    to `mixture_gap`, but no longer than `nodes` of its search tree.
    """

    gap: float = 0.048
    mixture_gap: float = 0.03
    mixtures: int = 3
    bare_rounds: int = 4
    bound_gap: float = 0.005
    nodes: int = 1


@dataclass(frozen=True, slots=True)
class Mixed:
    """A placement, and the rate that none exceeds (None: no model bounds the rate)."""

    puts: tuple[Put, ...]
    bound: float | None


def mix(packing: Packing, mixing: Mixing) -> Mixed | None:
    """The best mixture found; None where none was. Models that are bound to places, or apart, are placed greedily."""
    if not packing.bounding:
        first = greedy(packing, 0.0)
        return None if first is None else Mixed(first, None)
    bounds = slice_bounds(packing, highest_rate(packing), mixing.bound_gap)
    bare = list(islice(bounds, mixing.bare_rounds))
    if not bare:
        return None
    bound = bare[-1]
    starts = variants(packing, bound.rate) or [greedy(packing, bound.rate) or ()]
    best = starts[0]
    free = not packing.forbidden and all(limits.slots is None for limits in packing.models)
    if not best or not free:
        return Mixed(best, bound.rate) if best else None
    columns = [column for puts in starts for column in columns_of(packing, puts) or ()] + fastest_alone(packing)
    for _ in range(mixing.mixtures):
        best = _mixed(packing, best, columns, bound, mixing)
        if _rate(packing, best) >= bound.rate * (1 - mixing.gap):
            break
        bound = next(bounds, bound)
    return Mixed(best, bound.rate)


def _mixed(
    packing: Packing, best: tuple[Put, ...], columns: Sequence[Column], bound: SliceBound, mixing: Mixing
) -> tuple[Put, ...]:
    """With these columns, and those of the bound's shapes; `best` where nothing better is found."""
    start = columns_of(packing, best) or ()
    search = Search(bound.rate, mixing.mixture_gap, mixing.nodes)
    found = recombine(packing, [*columns, *fullest(packing, bound.shapes)], start, search)
    better = found is not None and holds(packing, found) and _rate(packing, found) > _rate(packing, best)
    return found if found is not None and better else best


def _rate(packing: Packing, puts: Sequence[Put]) -> float:
    return rate_of(packing, puts) or 0.0
