"""An engine step by step and token by token: slow, and easy to see through."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from appliance.capacity.engine_profile import EngineProfile


@dataclass(eq=False)
class Given:
    at_s: float
    prompt: int
    completion: int
    prefix: str = ""
    shared: int = 0


@dataclass(eq=False)
class _Running:
    given: Given
    number: int
    comes_s: float = 0.0
    made: int = 0
    left: int = 0
    computed: int = 0
    shared_blocks: int = 0

    @property
    def tokens(self) -> int:
        return self.given.prompt + self.made


def ends_of(profile: EngineProfile, calls: list[Given]) -> tuple[list[float], int]:
    """When each call ends, and how often one was preempted. Prefixes are never evicted."""
    size, total = profile.block_size, profile.kv_tokens // profile.block_size
    coming = sorted((_Running(call, n) for n, call in enumerate(calls)), key=lambda each: each.given.at_s)
    free_s = 0.0
    for each in coming:
        free_s = max(each.given.at_s, free_s) + profile.server_s
        each.comes_s = free_s + profile.call_s
    waiting: list[_Running] = []
    running: list[_Running] = []
    cached: set[str] = set()
    ends = [0.0] * len(calls)
    now_s, preempted = 0.0, 0

    def blocks() -> int:
        in_use = {each.given.prefix: each.shared_blocks for each in running if each.shared_blocks}
        return sum(in_use.values()) + sum(ceil(each.tokens / size) - each.shared_blocks for each in running)

    while coming or waiting or running:
        if not waiting and not running:
            now_s = max(now_s, coming[0].comes_s)
        while coming and coming[0].comes_s <= now_s:
            waiting.append(coming.pop(0))
        budget, may_admit = profile.max_num_batched_tokens, True
        while len(running) > 1 and blocks() > total:
            victim = running.pop()
            victim.left = 0
            waiting.insert(0, victim)
            preempted, may_admit = preempted + 1, False
        budget -= sum(not each.left for each in running)
        chunks: dict[_Running, int] = {}
        for each in running:
            if each.left and budget:
                chunks[each] = min(each.left, budget)
                budget -= chunks[each]
        decoding = [each for each in running if not each.left]
        while may_admit and waiting and budget and len(running) < profile.max_num_seqs:
            each = waiting[0]
            shared = min(each.given.shared, each.given.prompt - 1) // size
            running.append(each)
            each.shared_blocks = shared
            if blocks() > total:
                running.pop()
                break
            waiting.pop(0)
            each.computed = shared * size if each.given.prefix in cached else 0
            if shared:
                cached.add(each.given.prefix)
            each.left = each.tokens - each.computed
            chunks[each] = min(each.left, budget)
            budget -= chunks[each]
        context = sum(sum(each.computed + n + 1 for n in range(chunk)) for each, chunk in chunks.items())
        read = sum(each.tokens for each in decoding)
        now_s += profile.step.step_s(sum(chunks.values()), context, len(decoding), read)
        for each, chunk in chunks.items():
            each.computed += chunk
            each.left -= chunk
            each.made += not each.left
        for each in decoding:
            each.made += 1
        for each in [each for each in running if each.made == each.given.completion and not each.left]:
            running.remove(each)
            ends[each.number] = now_s
    return ends, preempted
