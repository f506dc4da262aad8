"""What a request will take, from its strategy, the options and what earlier ones took. Pure.

Calls by role and model (`shape`) × tokens of such a call × seconds of a token give what is expected. How outcomes of
earlier requests compared with what was expected of them gives the spread: their quantiles, so that 95% of requests
stay below p95 without any assumption about how they are distributed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.shape import Shape, expected_shape
from appliance.coordinator.statistics import METRICS, Statistics
from appliance.domain.fleet import ModelRoom
from appliance.domain.forecast import CallsForecast, Forecast, Reduction, Spread
from appliance.domain.model import Role
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.trace import Decision

_NO_ROOM_KNOWN = ModelRoom()
Rooms = Mapping[str, ModelRoom]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: characters of all messages, the longest answer that the caller wants, the model it goes to."""

    chars: int
    max_tokens: int | None
    model: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What is reckoned of one request, before it is compared with outcomes. `kv_tokens` by model, held at once."""

    strategy: str
    calls: tuple[CallsForecast, ...]
    tasks: float
    seconds: float
    gpu_s: float
    queue_s: float
    kv_tokens: Mapping[str, int]

    @property
    def count(self) -> float:
        """Calls."""
        return sum(call.calls for call in self.calls)

    @property
    def tokens(self) -> float:
        """Prompt and completion together."""
        return sum(call.calls * (call.prompt_tokens + call.completion_tokens) for call in self.calls)

    def metrics(self) -> Mapping[str, float]:
        """By the names under which outcomes are compared."""
        figures = (self.count, self.tokens, self.seconds + self.queue_s, self.gpu_s)
        return dict(zip(METRICS, figures, strict=True))


def expect(
    question: Question,
    strategy: str,
    options: CoordinatorOptions,
    statistics: Statistics,
    rooms: Rooms,
    tasks: int | None = None,
) -> Expected:
    """What a request takes on average. `tasks` of its plan, where that is known."""
    figures = statistics.strategy(strategy)
    shape = expected_shape(strategy, options, figures, question.model, question.chars, tasks)
    calls = tuple(
        _calls(question, None if strategy == PASSTHROUGH else options, statistics, role, model_id, count)
        for (role, model_id), count in sorted(shape.calls.items(), key=lambda item: list(Role).index(item[0][0]))
    )
    working_s = sum(call.calls * call.seconds for call in calls)
    gpu_s = sum(
        call.calls * call.seconds * statistics.model(call.model_id).share.value * _room(rooms, call.model_id).devices
        for call in calls
    )
    queue_s = sum({call.model_id: _queue_s(call, _room(rooms, call.model_id)) for call in calls}.values())
    kv_tokens = _kv_tokens(calls, shape)
    return Expected(strategy, calls, shape.tasks, working_s * figures.path.value, gpu_s, queue_s, kv_tokens)


def forecast(
    expected: Expected, statistics: Statistics, decision: Decision, reduced: Sequence[Reduction] = ()
) -> Forecast:
    """The whole of it, with spreads."""
    ratios, metrics = statistics.strategy(expected.strategy).ratios, expected.metrics()
    spreads = {
        metric: Spread(metrics[metric] * ratios[metric].quantile(0.5), metrics[metric] * ratios[metric].quantile(0.95))
        for metric in METRICS
    }
    return Forecast(
        strategy=expected.strategy,
        reasons=decision.reasons,
        reduced=tuple(reduced),
        by_call=expected.calls,
        calls=spreads["calls"],
        tokens=spreads["tokens"],
        seconds=spreads["seconds"],
        gpu_s=spreads["gpu_s"],
        queue_s=expected.queue_s,
        kv_tokens=sum(expected.kv_tokens.values()),
        kv_bytes=_kv_bytes(expected.kv_tokens, statistics),
        basis=_basis(expected, statistics),
    )


def _calls(
    question: Question,
    options: CoordinatorOptions | None,
    statistics: Statistics,
    role: Role,
    model_id: str,
    count: float,
) -> CallsForecast:
    """A role that reads the question has a prompt as long as that; the others' prompts are alike.

    Without `options` answers are as long as the caller wants them.
    """
    figures = statistics.calls_of(role, model_id)
    by_length = role is Role.GENERALIST or (role is Role.PLANNER and figures.prompt_tokens.seen > 0)
    prompt = figures.prompt_per_char.value * question.chars if by_length else figures.prompt_tokens.value
    longest = None if options is None else options.sampling_of(role).max_tokens
    limits = [limit for limit in (longest, question.max_tokens if role is Role.GENERALIST else None) if limit]
    completion = min([figures.completion_tokens.value, *limits])
    seconds = statistics.model(model_id).seconds(prompt, completion)
    return CallsForecast(role, model_id, count, prompt, completion, seconds, figures.completion_tokens.seen)


def _room(rooms: Rooms, model_id: str) -> ModelRoom:
    return rooms.get(model_id, _NO_ROOM_KNOWN)


def _queue_s(call: CallsForecast, room: ModelRoom) -> float:
    """Until a place is free: the calls before ours end at an even pace."""
    before = room.running + room.waiting - room.places + 1
    return max(0, before) * call.seconds / max(1, room.places)


def _kv_tokens(calls: Sequence[CallsForecast], shape: Shape) -> Mapping[str, int]:
    """Of each model: as many of its calls as may run at once, each with its prompt and whole answer."""
    held: dict[str, float] = {}
    for call in calls:
        at_once = min(max(1.0, call.calls), max(1.0, shape.width))
        tokens = at_once * (call.prompt_tokens + call.completion_tokens)
        held[call.model_id] = max(held.get(call.model_id, 0.0), tokens)
    return {model_id: round(tokens) for model_id, tokens in held.items()}


def _kv_bytes(kv_tokens: Mapping[str, int], statistics: Statistics) -> int | None:
    total = 0.0
    for model_id, tokens in kv_tokens.items():
        token_bytes = statistics.prior(model_id).kv_token_bytes
        if token_bytes is None:
            return None
        total += tokens * token_bytes
    return round(total)


def _basis(expected: Expected, statistics: Statistics) -> str:
    requests = statistics.strategy(expected.strategy).requests
    if requests:
        return f"learned from {requests} {'request' if requests == 1 else 'requests'}"
    sources = dict.fromkeys(statistics.prior(call.model_id).source for call in expected.calls if not call.seen)
    return "not seen yet: " + ("; ".join(sources) if sources else "calls of other strategies")
