"""What a request is expected to take, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.model import Role


@dataclass(frozen=True, slots=True)
class Spread:
    """Half of such requests stay at or below `p50`, 95% at or below `p95`."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class CallsForecast:
    """The calls of one model in one role: how many on average, tokens in and out of each, and their seconds.

    `seen` are the calls that this was learned from; 0: it rests on priors.
    """

    role: Role
    model_id: str
    calls: float
    prompt_tokens: float
    completion_tokens: float
    seconds: float
    seen: int


@dataclass(frozen=True, slots=True)
class Reduction:
    """A part of the whole that is left out, and what there was too little of."""

    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """The way a request would be answered now, and what that takes.

    `seconds` contain `queue_s`, the wait for room as things are. `kv_tokens` are held at the same time at most, on all
    engines together; `kv_bytes` is their memory where every model's geometry is known. `basis` says what it rests on.
    """

    strategy: str
    reasons: tuple[str, ...]
    reduced: tuple[Reduction, ...]
    by_call: tuple[CallsForecast, ...]
    calls: Spread
    tokens: Spread
    seconds: Spread
    gpu_s: Spread
    queue_s: float
    kv_tokens: int
    kv_bytes: int | None
    basis: str
