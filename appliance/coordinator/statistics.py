"""What finished requests say of calls, models and strategies: the memory of the forecast. Pure; nothing of contents.

It begins with priors: how fast a model may be, how long the calls of a role may be. Every request that ends well moves
it a little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.coordinator.running_figures import Mean, Ratios
from appliance.domain.model import Role
from appliance.domain.trace import CallRecord, Outcome, Trace

METRICS = ("calls", "tokens", "seconds", "gpu_s")

CHARS_PER_TOKEN = 4.0

_PROMPT_TOKENS = {Role.PLANNER: 400, Role.EXECUTOR: 200, Role.VERIFIER: 250, Role.SYNTHESIZER: 400}
_COMPLETION_TOKENS = {Role.PLANNER: 120, Role.EXECUTOR: 120, Role.VERIFIER: 40, Role.SYNTHESIZER: 200}
_ANSWER_TOKENS = 200
"""Guesses for roles that nothing was heard of yet; the generalist's prompt is the caller's own."""

TYPICAL_TASKS = 2.0
_SHORTEST_CHARS = 64
"""Questions of up to this length are one class, each doubling is another: longer ones have more tasks."""
_CLASS_WEIGHT = 4.0
"""A class counts as much as all classes together when it has seen so many requests."""


@dataclass(frozen=True, slots=True)
class ModelPrior:
    """How fast a model may be: seconds per prompt token and per generated one, alone on its engine.

    `kv_token_bytes` is its KV cache per token, None where the geometry is not known. `source` says where this is from.
    """

    prefill_s: float = 0.0005
    token_s: float = 0.02
    kv_token_bytes: float | None = None
    source: str = "a guess"


_GUESS = ModelPrior()


@dataclass(slots=True)
class CallFigures:
    """Calls of one role by one model. `prompt_per_char`: prompt tokens per character of the request."""

    prompt_tokens: Mean
    prompt_per_char: Mean
    completion_tokens: Mean

    def add(self, call: CallRecord, chars: int) -> None:
        """One more call."""
        usage = call.usage
        self.prompt_tokens.add(usage.prompt_tokens)
        self.prompt_per_char.add(usage.prompt_tokens / (chars or 1))
        self.completion_tokens.add(usage.completion_tokens)


@dataclass(slots=True)
class ModelFigures:
    """The speed of one model, other calls beside it included; `share` is its charge per second and device."""

    prefill_s: Mean
    token_s: Mean
    share: Mean

    def add(self, call: CallRecord, devices: int) -> None:
        """One more call."""
        tokens, first_s = call.usage.completion_tokens, call.first_token_s
        if first_s is not None:
            self.prefill_s.add(first_s / (call.usage.prompt_tokens or 1))
            if tokens > 1:
                rest_s = call.engine_s - first_s
                self.token_s.add(rest_s / (tokens - 1) if rest_s > 0 else 0.0)
        if call.engine_s > 0:
            self.share.add(call.gpu_s / call.engine_s / (devices or 1))

    def seconds(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Of one call."""
        return self.prefill_s.value * prompt_tokens + self.token_s.value * completion_tokens


@dataclass(slots=True)
class StrategyFigures:
    """Requests that were answered one way.

    `tasks` by class of length, `calls` per request, `path` the share of the calls' seconds that the request lasted.
    """

    path: Mean
    requests: int = 0
    calls: dict[tuple[Role, str], Mean] = field(default_factory=dict)
    tasks: Mean = field(default_factory=lambda: Mean(TYPICAL_TASKS))
    tasks_by_class: dict[int, Mean] = field(default_factory=dict)
    ratios: dict[str, Ratios] = field(default_factory=lambda: {metric: Ratios() for metric in METRICS})

    def tasks_of(self, chars: int) -> float:
        """Tasks that a plan for a request of so many characters has."""
        found = self.tasks_by_class.get(length_class(chars))
        if found is None:
            return self.tasks.value
        return (found.value * found.seen + self.tasks.value * _CLASS_WEIGHT) / (found.seen + _CLASS_WEIGHT)


@dataclass(slots=True)
class Statistics:
    """All that was learned in this process. `devices` of a model are those of one of its engines."""

    priors: Mapping[str, ModelPrior] = field(default_factory=dict)
    _calls: dict[tuple[Role, str], CallFigures] = field(default_factory=dict)
    _models: dict[str, ModelFigures] = field(default_factory=dict)
    _strategies: dict[str, StrategyFigures] = field(default_factory=dict)

    def prior(self, model_id: str) -> ModelPrior:
        """What was known of a model at the start."""
        return self.priors.get(model_id, _GUESS)

    def calls_of(self, role: Role, model_id: str) -> CallFigures:
        """Figures of a model's calls in one role."""
        found = self._calls.get((role, model_id))
        if found is None:
            prompt = float(_PROMPT_TOKENS.get(role, 0))
            found = CallFigures(
                Mean(prompt), Mean(1 / CHARS_PER_TOKEN), Mean(float(_COMPLETION_TOKENS.get(role, _ANSWER_TOKENS)))
            )
            self._calls[role, model_id] = found
        return found

    def model(self, model_id: str) -> ModelFigures:
        """Figures of a model."""
        found = self._models.get(model_id)
        if found is None:
            prior = self.prior(model_id)
            found = self._models[model_id] = ModelFigures(Mean(prior.prefill_s), Mean(prior.token_s), Mean(1.0))
        return found

    def strategy(self, name: str) -> StrategyFigures:
        """Figures of a strategy."""
        found = self._strategies.get(name)
        if found is None:
            found = self._strategies[name] = StrategyFigures(Mean(1.0))
        return found

    def learn(self, trace: Trace, chars: int, devices: Mapping[str, int], forecast: Mapping[str, float]) -> None:
        """A request ended. `forecast` is what was reckoned for it by metric; `chars` are those of its messages.

        Requests that failed or were left say nothing of what one takes, their finished calls do.
        """
        for call in trace.calls:
            if call.outcome is Outcome.OK and not call.usage_estimated:
                self.calls_of(call.role, call.model_id).add(call, chars)
                self.model(call.model_id).add(call, devices.get(call.model_id, 1))
        if trace.outcome is not Outcome.OK or not trace.calls:
            return
        figures = self.strategy(trace.decision.strategy)
        self._learn_shape(figures, trace, chars)
        outcome = outcome_of(trace)
        for metric in METRICS:
            figures.ratios[metric].add(outcome[metric], forecast.get(metric, 0.0))

    def _learn_shape(self, figures: StrategyFigures, trace: Trace, chars: int) -> None:
        counts: defaultdict[tuple[Role, str], int] = defaultdict(int)
        engine_s = waited_s = 0.0
        for call in trace.calls:
            engine_s += call.engine_s
            waited_s += call.queue_s
            if call.role is not Role.ROUTER:  # it is over before the request is admitted
                counts[call.role, call.model_id] += 1
        for key in figures.calls.keys() | counts.keys():
            # Requests before the first call of a kind had none of it.
            figures.calls.setdefault(key, Mean(0.0, weight=figures.requests)).add(counts.get(key, 0))
        figures.requests += 1
        tasks = len([task for task in trace.tasks if "." not in task.task_id])  # those of the first plan
        if tasks:
            figures.tasks.add(tasks)
            figures.tasks_by_class.setdefault(length_class(chars), Mean(figures.tasks.value)).add(tasks)
        if engine_s > 0:
            figures.path.add(min(1.0, max(0.0, trace.duration_s - waited_s) / engine_s) or 1.0)


def outcome_of(trace: Trace) -> Mapping[str, float]:
    """What a request took, by metric."""
    return {
        "calls": float(len(trace.calls)),
        "tokens": float(trace.usage.total_tokens),
        "seconds": trace.duration_s,
        "gpu_s": sum([call.gpu_s for call in trace.calls]),
    }


def length_class(chars: int) -> int:
    """0 for the shortest questions, one more for each doubling."""
    return max(0, (max(1, chars) - 1).bit_length() - _SHORTEST_CHARS.bit_length() + 1)
