"""What a request will take, from its strategy, the options and what earlier ones took. Pure.

Calls by role and model (`shape`) × tokens of such a call × seconds of a token give what is expected. How outcomes of
earlier requests compared with what was expected of them gives the spread: their quantiles, so that 95% of requests
stay below p95 without any assumption about how they are distributed.
"""

from __future__ import annotations

from collections import defaultdict
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
_ORDER = {role: place for place, role in enumerate(Role)}
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
        return sum([call.calls for call in self.calls])

    @property
    def tokens(self) -> float:
        """Prompt and completion together."""
        return sum([call.calls * (call.prompt_tokens + call.completion_tokens) for call in self.calls])

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
    bounds = None if strategy == PASSTHROUGH else options
    calls = tuple(
        [
            _calls(question, bounds, statistics, role, model_id, count)
            for (role, model_id), count in sorted(shape.calls.items(), key=_in_order)
        ]
    )
    working_s = gpu_s = 0.0
    queue_s: dict[str, float] = {}
    for call in calls:
        room, seconds = rooms.get(call.model_id, _NO_ROOM_KNOWN), call.calls * call.seconds
        working_s += seconds
        gpu_s += seconds * statistics.model(call.model_id).share.value * room.devices
        queue_s[call.model_id] = _queue_s(call, room)
    lasting_s, kv_tokens = working_s * figures.path.value, _kv_tokens(calls, shape)
    return Expected(strategy, calls, shape.tasks, lasting_s, gpu_s, sum(queue_s.values()), kv_tokens)


def _in_order(item: tuple[tuple[Role, str], float]) -> int:
    return _ORDER[item[0][0]]


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
    completion = figures.completion_tokens.value
    for limit in (longest, question.max_tokens if role is Role.GENERALIST else None):
        if limit and limit < completion:
            completion = limit
    seconds = statistics.model(model_id).seconds(prompt, completion)
    return CallsForecast(role, model_id, count, prompt, completion, seconds, figures.completion_tokens.seen)


def _queue_s(call: CallsForecast, room: ModelRoom) -> float:
    """Until a place is free: the calls before ours end at an even pace."""
    before = room.running + room.waiting - room.places + 1
    return before * call.seconds / (room.places or 1) if before > 0 else 0.0


def _kv_tokens(calls: Sequence[CallsForecast], shape: Shape) -> Mapping[str, int]:
    """Of each model: as many of its calls as may run at once, each with its prompt and whole answer."""
    held: defaultdict[str, float] = defaultdict(float)
    width = max(1.0, shape.width)
    for call in calls:
        at_once = width if call.calls > width else call.calls if call.calls > 1.0 else 1.0
        tokens = at_once * (call.prompt_tokens + call.completion_tokens)
        if tokens > held[call.model_id]:
            held[call.model_id] = tokens
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
