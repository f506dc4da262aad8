"""Whether the whole tree of a request fits, and else which declared smaller plan does. Pure.

The rungs go from the whole plan down: fewer candidates, fewer repairs, no verification. Where none of them fits, one
call answers: it is always let through, since a lower limit than one call's ends that call itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf

from appliance.domain.forecast import Reduction


@dataclass(frozen=True, slots=True)
class Load:
    """What a plan needs: calls, tokens, device-seconds, seconds, and KV tokens held at once by model."""

    calls: float
    tokens: float
    gpu_s: float = 0.0
    seconds: float = 0.0
    kv_tokens: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Means:
    """What there is of it for one request. `whose` says so in a sentence: the request's budget, the tenant's share."""

    whose: str
    calls: float = inf
    tokens: float = inf
    gpu_s: float = inf
    seconds: float = inf


@dataclass(frozen=True, slots=True)
class Capacity:
    """KV tokens by model: those of all engines, and those that other requests hold. A missing model is not bounded."""

    kv_tokens: Mapping[str, int] = field(default_factory=dict)
    held_tokens: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rung:
    """One plan. `step` is what it leaves out beside what those above it do; empty for the whole one."""

    step: str
    load: Load


@dataclass(frozen=True, slots=True)
class Full:
    """The whole plan fits."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """Rung `index` fits; these are the steps down to it, each with what was short without it."""

    index: int
    steps: tuple[Reduction, ...]


@dataclass(frozen=True, slots=True)
class Direct:
    """No plan fits: one call answers."""

    steps: tuple[Reduction, ...]


def fit(rungs: Iterable[Rung], budgets: Sequence[Means], capacity: Capacity) -> Full | Reduced | Direct:
    """The first rung that fits into every budget and into the pool; none below it is asked for. `rungs` has one."""
    steps: tuple[Reduction, ...] = ()
    short = ""
    for index, rung in enumerate(rungs):
        if index:
            steps = (*steps, Reduction(rung.step, short))
        short = shortage(rung.load, budgets, capacity)
        if not short:
            return Reduced(index, steps) if steps else Full()
    return Direct((*steps, Reduction(DIRECT_STEP, short)))


DIRECT_STEP = "one call answers"


def shortage(load: Load, budgets: Sequence[Means], capacity: Capacity) -> str:
    """What there is too little of, in words; empty where all fits."""
    for means in budgets:
        for name, needed, there in (
            ("calls", load.calls, means.calls),
            ("tokens", load.tokens, means.tokens),
            ("gpu_s", load.gpu_s, means.gpu_s),
            ("seconds", load.seconds, means.seconds),
        ):
            if needed > there:
                shown = f"{ceil(needed)}" if name in ("calls", "tokens") else f"{needed:.3g}"
                return f"about {shown} {name} are needed, {means.whose} has {max(0.0, there):.5g}"
    for model_id, tokens in load.kv_tokens.items():
        total = capacity.kv_tokens.get(model_id)
        if total is None:
            continue
        free = total - capacity.held_tokens.get(model_id, 0)
        if min(tokens, total) > free:
            return f"about {tokens} KV tokens of {model_id} are needed, {max(0, free)} of {total} are free"
    return ""
