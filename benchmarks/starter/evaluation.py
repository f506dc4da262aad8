"""The held-out set through the running appliance: `auto` against the generalist, once and by majority."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from openai import AsyncOpenAI, OpenAIError
from rich.progress import Progress

from benchmarks.starter.asking import Reply, ask
from benchmarks.starter.statistics import majority, mcnemar_p, percentile, wilson_interval
from benchmarks.starter.suite import Problem

AUTO = "auto"
GENERALIST = "starter-generalist"
ONE_PASS = "generalist, one pass"
VOTED = "generalist, majority at equal tokens"
ORCHESTRATED = "orchestrated (auto)"
MAX_VOTES = 40


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way's answer to one problem."""

    problem: str
    steps: int
    wording: str
    right: bool
    answer: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    calls: int
    strategy: str
    trace_id: str = ""

    @property
    def tokens(self) -> int:
        """Prompt and completion together, over all calls."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Comparison:
    """All attempts by way; the tuples run parallel to each other."""

    attempts: dict[str, tuple[Attempt, ...]]

    def summary(self, way: str, steps: int | None = None, wording: str | None = None) -> dict[str, Any]:
        """Right answers with a 95% interval, tokens and seconds of one way, for all or one kind of problem."""
        chosen = [
            a
            for a in self.attempts[way]
            if (steps is None or a.steps == steps) and (wording is None or a.wording == wording)
        ]
        right = sum(a.right for a in chosen)
        low, high = wilson_interval(right, len(chosen))
        count = max(1, len(chosen))
        return {
            "problems": len(chosen),
            "right": right,
            "share": right / count,
            "interval_95": [low, high],
            "tokens_per_problem": sum(a.tokens for a in chosen) / count,
            "completion_tokens_per_problem": sum(a.completion_tokens for a in chosen) / count,
            "calls_per_problem": sum(a.calls for a in chosen) / count,
            "seconds_p50": percentile([a.seconds for a in chosen], 50),
            "seconds_p95": percentile([a.seconds for a in chosen], 95),
        }

    def p_value(self, first: str, second: str, *, least_steps: int = 1) -> float:
        """McNemar's p between two ways over the problems of at least `least_steps` steps."""
        ways = (self.attempts[first], self.attempts[second])
        return mcnemar_p(*([a.right for a in way if a.steps >= least_steps] for way in ways))

    def as_document(self) -> dict[str, Any]:
        """Everything, for a results file."""
        steps = sorted({a.steps for a in self.attempts[ORCHESTRATED]})
        return {
            "overall": {way: self.summary(way) for way in self.attempts},
            "by_steps": {str(n): {way: self.summary(way, steps=n) for way in self.attempts} for n in steps},
            "by_wording": {w: {way: self.summary(way, wording=w) for way in self.attempts} for w in ("seen", "unseen")},
            "p_values_steps_1_and_more": {
                way: self.p_value(ORCHESTRATED, way) for way in self.attempts if way != ORCHESTRATED
            },
            "attempts": {way: [asdict(a) for a in attempts] for way, attempts in self.attempts.items()},
        }


async def compare(url: str, key: str, problems: Sequence[Problem], *, concurrency: int, quiet: bool) -> Comparison:
    """Ask every problem in three ways, `concurrency` problems at a time. Raises the client's errors."""
    gate = asyncio.Semaphore(concurrency)
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=2, timeout=300) as client:
        with Progress(disable=quiet, transient=True) as progress:

            async def each(title: str, work: Callable[[int], Awaitable[Attempt]]) -> tuple[Attempt, ...]:
                bar = progress.add_task(title, total=len(problems))

                async def one(index: int) -> Attempt:
                    async with gate:
                        attempt = await work(index)
                    progress.advance(bar)
                    return attempt

                return tuple(await asyncio.gather(*(one(i) for i in range(len(problems)))))

            orchestrated = await each(ORCHESTRATED, lambda i: _once(client, AUTO, problems[i]))
            one_pass = await each(ONE_PASS, lambda i: _once(client, GENERALIST, problems[i], temperature=0))
            voted = await each(VOTED, lambda i: _vote(client, problems[i], orchestrated[i].tokens))
    return Comparison({ORCHESTRATED: orchestrated, ONE_PASS: one_pass, VOTED: voted})


async def _once(client: AsyncOpenAI, model: str, problem: Problem, **params: Any) -> Attempt:
    try:
        return _attempt(problem, [await ask(client, model, problem.question, **params)])
    except OpenAIError as error:
        raise RuntimeError(f"{problem.id} ({problem.question!r}) was not answered by {model}: {error}") from error


async def _vote(client: AsyncOpenAI, problem: Problem, tokens: int) -> Attempt:
    """Samples of the generalist until they have cost at least `tokens`, then the most frequent answer."""
    replies: list[Reply] = []
    while sum(r.tokens for r in replies) < max(1, tokens) and len(replies) < MAX_VOTES:
        replies.append(await ask(client, GENERALIST, problem.question, temperature=0.7, seed=len(replies)))
    return _attempt(problem, replies)


def _attempt(problem: Problem, replies: Sequence[Reply]) -> Attempt:
    answer = majority([reply.answer for reply in replies])
    return Attempt(
        problem=problem.id,
        steps=problem.steps,
        wording=problem.wording,
        right=answer == problem.answer,
        answer=answer,
        prompt_tokens=sum(r.prompt_tokens for r in replies),
        completion_tokens=sum(r.completion_tokens for r in replies),
        seconds=sum(r.seconds for r in replies),
        calls=sum(r.calls for r in replies) or len(replies),
        strategy=replies[0].strategy,
        trace_id=replies[0].trace_id,
    )
