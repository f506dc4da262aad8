"""Engines that share a device: how long calls sent at given times take, and what share explains measured times. Pure.

A share can't be read off how much slower several engines are than each alone: they are not all busy as long, and their
API servers compute there, too. So it is looked for on a line: the one under which simulated engines take as long.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import dataclass
from statistics import mean

from appliance.capacity.alone import Sent
from appliance.capacity.batching import NEVER, Engine
from appliance.capacity.device import Device
from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.sequence import Sequence

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


def together(engines: Items[EngineProfile], calls: Items[tuple[int, Sent]]) -> tuple[float, ...]:
    """The seconds that each call takes, in their order. `calls` have the place of their engine."""
    device = Device([Engine(profile) for profile in engines])
    took_s = [0.0] * len(calls)
    order = sorted(range(len(calls)), key=lambda number: calls[number][1].at_s)
    place = 0
    while place < len(order) or device.next_own_s != NEVER:
        at_s = device.settle()
        if place < len(order) and calls[order[place]][1].at_s <= at_s:
            number = order[place]
            engine, call = calls[number]
            device.advance(call.at_s)
            sequence = Sequence(number, max(1, call.prompt_tokens), (call.completion_tokens,))
            device.engines[engine].submit(sequence, device.own_s)
            place += 1
        elif at_s == NEVER:
            break
        else:
            device.now_s, device.own_s = at_s, max(device.own_s, device.next_own_s)
            for each in device.engines:
                if each.next_s <= device.own_s:
                    for made, _ in each.work(device.own_s):
                        assert isinstance(made.owner, int)
                        took_s[made.owner] = at_s - calls[made.owner][1].at_s
    return tuple(took_s)


def share_of_device(seen: Items[Together], as_if: Callable[[EngineProfile, float], EngineProfile]) -> float:
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
    simulated_s = together([as_if(engine, share) for engine in seen.engines], seen.sent)
    return sum(simulated_s) / sum(seen.took_s)
