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
    mixtures: int = 4
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
    known = list(islice(bounds, mixing.bare_rounds))
    if not known:
        return None
    starts = variants(packing, known[-1].rate) or [greedy(packing, known[-1].rate) or ()]
    best = starts[0]
    free = not packing.forbidden and all(limits.slots is None for limits in packing.models)
    if not best or not free:
        return Mixed(best, known[-1].rate) if best else None
    columns = [column for puts in starts for column in columns_of(packing, puts) or ()] + fastest_alone(packing)
    for number in range(1, mixing.mixtures + 1):
        best = _mixed(packing, best, columns, known[-number:], mixing)
        if number == mixing.mixtures or _rate(packing, best) >= known[-1].rate * (1 - mixing.gap):
            break
        known += islice(bounds, 1)
    return Mixed(best, known[-1].rate)


def _mixed(
    packing: Packing, best: tuple[Put, ...], columns: Sequence[Column], known: Sequence[SliceBound], mixing: Mixing
) -> tuple[Put, ...]:
    """With these columns, and those of the newest bounds' shapes: of one at first, then of more."""
    more = fullest(packing, [shape for bound in known for shape in bound.shapes])
    start = columns_of(packing, best) or ()
    search = Search(known[-1].rate, mixing.mixture_gap, mixing.nodes)
    found = recombine(packing, [*columns, *more], start, search)
    better = found is not None and holds(packing, found) and _rate(packing, found) > _rate(packing, best)
    return found if found is not None and better else best


def _rate(packing: Packing, puts: Sequence[Put]) -> float:
    return rate_of(packing, puts) or 0.0
