"""One engine with its device to itself: when calls sent at given times make their first and their last token. Pure."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass

from appliance.capacity.batching import NEVER, Engine
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
    """What the engine makes of these calls, in their order."""
    engine = Engine(profile)
    order = sorted(range(len(calls)), key=lambda number: calls[number].at_s)
    first, whole = [0.0] * len(calls), [0.0] * len(calls)
    place = 0
    while place < len(order) or engine.next_s != NEVER:
        if place < len(order) and calls[order[place]].at_s <= engine.next_s:
            call = calls[order[place]]
            stops = (1, call.completion_tokens) if call.completion_tokens > 1 else (1,)
            engine.submit(Sequence(order[place], max(1, call.prompt_tokens), stops), call.at_s)
            place += 1
            continue
        now_s = engine.next_s
        for sequence, tokens in engine.work(now_s):
            number = sequence.owner
            assert isinstance(number, int)
            if tokens == 1:
                first[number] = now_s - calls[number].at_s
            whole[number] = now_s - calls[number].at_s
    return tuple(Times(*pair) for pair in zip(first, whole, strict=True))
