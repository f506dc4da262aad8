"""Engines on one device, without a dispatcher: when calls sent at given times make their first and last token. Pure."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass

from appliance.capacity.batching import NEVER, Engine
from appliance.capacity.device import Device
from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Sent:
    """A call as it is sent, at a second on any clock."""

    at_s: float
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from when it was sent: until the first token, and until the last one."""

    first_s: float
    whole_s: float


def alone(profile: EngineProfile, calls: Items[Sent]) -> tuple[Times, ...]:
    """What one engine makes of these calls, in their order, with its device to itself."""
    return together((profile,), [(0, call) for call in calls])


def together(engines: Items[EngineProfile], calls: Items[tuple[int, Sent]]) -> tuple[Times, ...]:
    """What engines on one device make of these calls, in their order. `calls` have the place of their engine."""
    device = Device([Engine(profile) for profile in engines])
    order = sorted(range(len(calls)), key=lambda number: calls[number][1].at_s)
    first_s, whole_s = [0.0] * len(calls), [0.0] * len(calls)
    place = 0
    while (at_s := device.settle()) != NEVER or place < len(order):
        if place < len(order) and calls[order[place]][1].at_s <= at_s:
            engine, call = calls[order[place]]
            stops = (1, call.completion_tokens) if call.completion_tokens > 1 else (1,)
            device.advance(call.at_s)
            device.engines[engine].submit(Sequence(order[place], max(1, call.prompt_tokens), stops), device.own_s)
            place += 1
            continue
        device.now_s, device.own_s = at_s, max(device.own_s, device.next_own_s)
        for each in device.engines:
            for sequence, tokens in each.work(device.own_s) if each.next_s <= device.own_s else ():
                number = sequence.owner
                assert isinstance(number, int)
                whole_s[number] = at_s - calls[number][1].at_s
                if tokens == 1:
                    first_s[number] = whole_s[number]
    return tuple(Times(*pair) for pair in zip(first_s, whole_s, strict=True))
