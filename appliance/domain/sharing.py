"""How several processes divide a tenant's limits: each may use a share, and the shares never exceed the limit. Pure.

A share goes down only by what is neither used nor held at that moment, and is taken by others only after its process
goes by the smaller one. So at every moment each process has used no more than its share within the window, and all of
them together no more than the limit. Who has room gives it to who needs it; without need, all have the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf
from typing import Final

EXPIRES_S: Final = 15.0
"""A process that has not renewed its share for so long may not use it any more."""

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Claim:
    """What one process says of one limit of a tenant.

    `share` is what it may use now, `needed` is used or held of it and can't be given away, `wanted` what it could do
    with. `spent` was used since the last time and leaves the limit for good (a month's), so that nobody has to hold
    much of it. `whole`: shares are whole numbers. `window_s`: what was used counts for so long.
    """

    tenant: str
    name: str
    limit: float
    share: float
    needed: float
    wanted: float
    window_s: float
    whole: bool = False
    spent: float = 0.0
    monthly: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """The share of another process. `silent_s`: it was renewed so long ago."""

    share: float
    wanted: float
    silent_s: float


def counts(held: Held, window_s: float) -> bool:
    """Whether a share is still to be left alone: what its process used may be within the window."""
    return held.silent_s < EXPIRES_S + window_s


def divided(claim: Claim, others: Sequence[Held]) -> float:
    """The share of whoever claims, given those of the others that count.

    Where all wants fit each gets what it wants and an equal part of the rest, which of a month stays undivided. Where
    they don't, nobody gets more than a level at which they do.
    """
    live = [held for held in others if held.silent_s < EXPIRES_S]
    most = max(0.0, claim.limit - sum(held.share for held in others))
    there = claim.limit - sum(held.share for held in others if held.silent_s >= EXPIRES_S)
    wants = [claim.wanted, *(held.wanted for held in live)]
    rest = there - sum(wants)
    if rest >= 0:
        target = claim.wanted + (0.0 if claim.monthly else rest / len(wants))
    else:
        target = min(claim.wanted, _level(there, wants))
    share = min(most, max(claim.needed, target))
    if not claim.whole:
        return share
    least = 1.0 if claim.wanted >= 1 else 0.0
    return float(floor(min(most, max(share, least)) + _ROUNDING))


def _level(there: float, wants: Sequence[float]) -> float:
    """The height at which the wants, cut off there, come to what there is."""
    left, many = there, len(wants)
    for want in sorted(wants):
        if want * many >= left:
            return max(0.0, left / many)
        left, many = left - want, many - 1
    return inf


def written(claim: Claim, share: float) -> float:
    """What is to stand where the others look: the process goes by its present share until it has heard of a smaller."""
    return max(share, claim.share)


def heard(claim: Claim, share: float, needed: float) -> float:
    """The share by which a process goes from now on; `needed` may have grown while it was divided."""
    return max(share, min(needed, claim.share)) if share < claim.share else share
