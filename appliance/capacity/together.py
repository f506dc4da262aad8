"""Engines that share a device: the share of it that explains what they were measured to take at once. Pure.

A share can't be read off how much slower several engines are than each alone: they are not all busy as long, and their
API servers compute there, too. So it is looked for on a line: the one under which simulated engines take as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from appliance.capacity.alone import Sent, together
from appliance.capacity.engine_profile import EngineProfile

_COARSE = 20
_CLOSER = 3
_ALIKE = 3
"""Digits of errors that are looked at: of shares that are as good, the smallest is taken."""


@dataclass(frozen=True, slots=True)
class Together:
    """Calls to several engines, each with the place of its engine, and the seconds that each took."""

    engines: tuple[EngineProfile, ...]
    sent: tuple[tuple[int, Sent], ...]
    took_s: tuple[float, ...]


def share_of_device(seen: Sequence[Together], as_if: Callable[[EngineProfile, float], EngineProfile]) -> float:
    """The share that each busy engine wants. `as_if` gives an engine a share."""

    def error(share: float) -> float:
        return round(mean(abs(_times_slower(each, share, as_if) - 1) for each in seen), _ALIKE)

    tried = {share: error(share) for share in (step / _COARSE for step in range(1, _COARSE + 1))}
    width = 1 / _COARSE
    for _ in range(_CLOSER):
        width /= 2
        best = min(sorted(tried), key=tried.__getitem__)
        for share in (best - width, best + width):
            if 0 < share <= 1 and share not in tried:
                tried[share] = error(share)
    return min(sorted(tried), key=tried.__getitem__)


def _times_slower(seen: Together, share: float, as_if: Callable[[EngineProfile, float], EngineProfile]) -> float:
    simulated = together([as_if(engine, share) for engine in seen.engines], seen.sent)
    return sum(times.whole_s for times in simulated) / sum(seen.took_s)
