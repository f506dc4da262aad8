"""What the simulated pools are asked: direct requests and trees of tasks, as plain data.

Fixed before any policy was tried:

- Pools: those that `appliance plan` finds for `config/examples/two-4090.yaml` and `four-l40s.yaml`, with the steps of
  its roofline model at 1,000 tokens of context.
- Direct requests: prompts and answers are log-normal with medians of 1,020 and 129 tokens, as in the conversation half
  of the Azure LLM inference trace of 2023 (Patel and others, Splitwise, ISCA 2024), and a sigma of 0.5 and 1.0, which
  makes means of 1,155 and 211.
- Trees, 30% of the requests: a planner, n tasks of a random skill each followed by a verdict, a synthesis. Mean tokens
  by role are those under `placement.calls` of the two examples, with the same two sigmas. n is between 1 and the tasks
  of a plan (16 by default) with a chance of 1/n (lengths in BurstGPT follow Zipf, arXiv 2401.17644). A third of the
  tasks need the result of an earlier one; 15% of the verdicts ask for another attempt, of which there are two at most.
- Arrivals: gaps with a gamma distribution (as in BurstGPT), coefficient of variation 2; 1 is a Poisson process.
- Load: offered seconds of the busiest model over what it does with full batches.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

PROMPT_SIGMA, ANSWER_SIGMA = 0.5, 1.0
LONGEST_PROMPT, LONGEST_ANSWER = 8000, 2000
DIRECT = (1155, 211)
TOKENS = {
    "planner": (700, 250),
    "general": (500, 300),
    "code": (800, 500),
    "math": (400, 350),
    "text": (600, 200),
    "verifier": (900, 40),
    "synthesizer": (1200, 400),
    "generalist": DIRECT,
}
ATTEMPTS, REJECTED, NEEDING = 3, 0.15, 1 / 3
TYPICAL_TASKS = 2
"""As the coordinator supposes of a plan that it does not know yet."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model: engines, slots of each, seconds per prompt token, and milliseconds of a step by sequences in it."""

    engines: int
    slots: int
    prefill_s: float
    steps: tuple[tuple[int, float], ...]

    def step_s(self, sequences: int) -> float:
        """Between two known ones on a straight line."""
        low, high = next(pair for pair in zip(self.steps, self.steps[1:], strict=False) if sequences <= pair[1][0])
        part = (sequences - low[0]) / (high[0] - low[0])
        return (low[1] + part * (high[1] - low[1])) / 1000

    def work_s(self, call: Call) -> float:
        """Share of the model's engines that a call takes in full batches."""
        return (call.prompt * self.prefill_s + call.answer * self.step_s(self.slots) / self.slots) / self.engines


@dataclass(frozen=True, slots=True)
class Pool:
    """Models, and who plays which role; skills are roles too."""

    models: dict[str, Served]
    roles: dict[str, str]
    skills: tuple[str, ...]


WORKSTATION = Pool(
    {
        "gpt-oss-20b": Served(1, 16, 101.5e-6, ((1, 6.95), (2, 9.46), (4, 13.61), (8, 19.33), (16, 24.99))),
        "qwen2.5-7b-awq": Served(1, 32, 184.6e-6, ((1, 11.35), (8, 12.01), (16, 12.77), (32, 14.29))),
        "phi-4-mini": Served(1, 16, 93.0e-6, ((1, 14.99), (8, 16.5), (16, 18.24))),
    },
    {
        "planner": "gpt-oss-20b",
        "general": "gpt-oss-20b",
        "code": "qwen2.5-7b-awq",
        "verifier": "phi-4-mini",
        "synthesizer": "gpt-oss-20b",
        "generalist": "gpt-oss-20b",
    },
    ("general", "code"),
)
NODE = Pool(
    {
        "qwen3-14b": Served(1, 64, 102.0e-6, ((1, 33.9), (8, 35.01), (16, 36.27), (32, 38.8), (64, 43.86))),
        "qwen2.5-coder-7b": Served(1, 48, 84.2e-6, ((1, 31.54), (8, 32.31), (16, 33.2), (32, 34.97), (64, 38.51))),
        "qwen3-4b": Served(3, 64, 44.4e-6, ((1, 17.86), (8, 19.85), (16, 22.12), (32, 26.67), (64, 35.78))),
        "llama-3.1-8b": Served(1, 60, 88.7e-6, ((1, 33.33), (8, 35.1), (16, 37.12), (32, 41.17), (64, 49.26))),
        "phi-4": Served(1, 18, 162.0e-6, ((1, 58.99), (8, 61.76), (16, 64.92), (32, 71.24))),
    },
    {
        "planner": "qwen3-14b",
        "general": "qwen3-14b",
        "code": "qwen2.5-coder-7b",
        "math": "phi-4",
        "text": "qwen3-4b",
        "verifier": "llama-3.1-8b",
        "synthesizer": "qwen3-14b",
        "generalist": "qwen3-14b",
    },
    ("general", "code", "math", "text"),
)


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked of a pool; the defaults are described above."""

    name: str
    pool: Pool = WORKSTATION
    trees: float = 0.3
    most_tasks: int = 16
    variation: float = 2.0
    equal: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """Tokens of one call, and how many calls follow it on the longest path, as far as the coordinator knows."""

    role: str
    model: str
    prompt: int
    answer: int
    after: int = 0


@dataclass(frozen=True, slots=True)
class Steps:
    """A task: an executor's call and a verdict for each attempt, and the tasks whose results it needs."""

    calls: tuple[Call, ...]
    needs: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One request. Without tasks, `first` is all of it; else `first` is the planner's call."""

    number: int
    at_s: float
    first: Call
    tasks: tuple[Steps, ...] = ()
    last: Call | None = None

    @property
    def hard(self) -> bool:
        """It is a tree."""
        return self.last is not None

    def calls(self) -> Iterator[Call]:
        """All of them."""
        yield self.first
        for task in self.tasks:
            yield from task.calls
        if self.last is not None:
            yield self.last


@dataclass(slots=True)
class Source:
    """Draws requests of a workload."""

    workload: Workload
    dice: random.Random
    _weights: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self._weights = [1 / tasks for tasks in range(1, self.workload.most_tasks + 1)]

    def requests(self, count: int, rate: float) -> list[Request]:
        """As many as asked for, `rate` of them a second on average."""
        shape, at_s = self.workload.variation**-2, 0.0
        out: list[Request] = []
        for number in range(count):
            at_s += self.dice.gammavariate(shape, 1 / (rate * shape))
            out.append(self.request(number, at_s))
        return out

    def request(self, number: int, at_s: float) -> Request:
        """One request."""
        if self.workload.equal:
            return Request(number, at_s, Call("generalist", self._model("generalist"), *DIRECT))
        if self.dice.random() >= self.workload.trees:
            return Request(number, at_s, self._call("generalist"))
        count = self.dice.choices(range(1, self.workload.most_tasks + 1), self._weights)[0]
        needs = [(self.dice.randrange(n),) if n and self.dice.random() < NEEDING else () for n in range(count)]
        depths = [0] * count
        for n in reversed(range(count)):
            for need in needs[n]:
                depths[need] = max(depths[need], depths[n] + 1)
        tasks = tuple(Steps(self._attempts(depths[n]), needs[n]) for n in range(count))
        return Request(number, at_s, self._call("planner", 2 * TYPICAL_TASKS + 1), tasks, self._call("synthesizer"))

    def _attempts(self, depth: int) -> tuple[Call, ...]:
        skill, calls = self.dice.choice(self.workload.pool.skills), []
        for _ in range(ATTEMPTS):
            calls += [self._call(skill, 2 * depth + 2), self._call("verifier", 2 * depth + 1)]
            if self.dice.random() >= REJECTED:
                break
        return tuple(calls)

    def _call(self, role: str, after: int = 0) -> Call:
        prompt, answer = TOKENS[role]
        return Call(
            role,
            self._model(role),
            self._tokens(prompt, PROMPT_SIGMA, LONGEST_PROMPT),
            self._tokens(answer, ANSWER_SIGMA, LONGEST_ANSWER),
            after,
        )

    def _model(self, role: str) -> str:
        return self.workload.pool.roles[role]

    def _tokens(self, mean: float, sigma: float, longest: int) -> int:
        drawn = self.dice.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma)
        return max(1, min(longest, round(drawn)))


def alone_s(pool: Pool, request: Request) -> float:
    """Seconds that a request takes in an empty pool: its longest path, each call alone on its engine."""

    def call_s(call: Call) -> float:
        served = pool.models[call.model]
        return call.prompt * served.prefill_s + call.answer * served.step_s(1)

    ends_s: list[float] = []
    for task in request.tasks:
        begins_s = max((ends_s[need] for need in task.needs), default=0.0)
        ends_s.append(begins_s + sum(call_s(call) for call in task.calls))
    last_s = call_s(request.last) if request.last is not None else 0.0
    return call_s(request.first) + max(ends_s, default=0.0) + last_s


def full_rate(workload: Workload, sample: int = 20_000) -> float:
    """Requests per second at which the busiest model has no time left, in full batches."""
    source, work = Source(workload, random.Random(12345)), dict.fromkeys(workload.pool.models, 0.0)
    for number in range(sample):
        for call in source.request(number, 0.0).calls():
            work[call.model] += workload.pool.models[call.model].work_s(call)
    return sample / max(work.values())
