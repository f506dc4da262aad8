"""One answer of one target to one task, with what it took. Pure data; the lines of a run file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.domain.trace import Trace


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer took: tokens, calls and device-seconds, in all and by role."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    calls: int = 0
    gpu_s: float = 0.0
    gpu_s_by_role: Mapping[str, float] = field(default_factory=dict)
    tokens_by_role: Mapping[str, int] = field(default_factory=dict)
    calls_by_role: Mapping[str, int] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.calls + other.calls,
            self.gpu_s + other.gpu_s,
            _added(self.gpu_s_by_role, other.gpu_s_by_role),
            {k: int(v) for k, v in _added(self.tokens_by_role, other.tokens_by_role).items()},
            {k: int(v) for k, v in _added(self.calls_by_role, other.calls_by_role).items()},
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One answer. `repeat` and `sample` count from 0; `seconds` is what the caller waited.

    `score` is None for an answer that is yet to be judged. `error` says why there is no answer; it then counts as
    wrong. `key` is what answers that mean the same share. `judge_agreed`: both orders of a judge said the same.
    """

    target: str
    task_id: str
    task_class: str
    repeat: int
    sample: int
    seed: int
    answer: str
    score: float | None
    key: str
    reason: str = ""
    seconds: float = 0.0
    cost: Cost = field(default_factory=Cost)
    trace_id: str = ""
    strategy: str = ""
    finish_reason: str = ""
    error: str = ""
    judge_agreed: bool | None = None

    @property
    def place(self) -> tuple[str, str, int, int]:
        """What there is one of in a run."""
        return self.target, self.task_id, self.repeat, self.sample


def cost_of(trace: Trace) -> Cost:
    """What a request took, by its trace."""
    tokens: dict[str, int] = {}
    calls: dict[str, int] = {}
    gpu_s: dict[str, float] = {}
    for call in trace.calls:
        role = call.role.value
        tokens[role] = tokens.get(role, 0) + call.usage.total_tokens
        calls[role] = calls.get(role, 0) + 1
        gpu_s[role] = gpu_s.get(role, 0.0) + call.gpu_s
    usage = trace.usage
    return Cost(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        len(trace.calls),
        trace.gpu_s,
        gpu_s,
        tokens,
        calls,
    )


def _added(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {key: first.get(key, 0) + second.get(key, 0) for key in (*first, *(k for k in second if k not in first))}
