"""The held-out set through the running appliance, once for each strategy: right answers, and what they cost."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
from openai import AsyncOpenAI, OpenAIError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.starter.appliance_process import RunningAppliance
from benchmarks.starter.asking import ask, trace_of
from benchmarks.starter.statistics import mcnemar_p, percentile, wilson_interval
from benchmarks.starter.suite import Problem

AUTO = "auto"
BASELINE = "direct"

_COLUMNS = (
    *("right", "95% CI", "p vs direct", "easy", "1+ steps"),
    *("calls", "tokens", "engine s", "per right", "p50 s", "p95 s"),
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Way:
    """A strategy at an effort; None: what the router chooses."""

    strategy: str | None
    effort: str = "medium"

    @property
    def name(self) -> str:
        """As the tables call it."""
        strategy = self.strategy or "chosen by the router"
        return strategy if self.effort == "medium" else f"{strategy}, {self.effort} effort"

    @property
    def wish(self) -> dict[str, str]:
        """The body fields that ask for it."""
        return {"effort": self.effort} | ({"strategy": self.strategy} if self.strategy else {})


WAYS = (
    Way("direct"),
    Way("cascade"),
    Way("self_consistency"),
    Way("self_consistency", "high"),
    Way("best_of_n"),
    Way("plan_execute_verify"),
    Way("plan_execute"),
    Way(None),
)


@dataclass(frozen=True, slots=True)
class Answered:
    """One problem answered in one way, and everything that it cost, thrown-away calls included."""

    problem: str
    steps: int
    right: bool
    calls: int
    tokens: int
    engine_s: float
    seconds: float
    fallbacks: tuple[str, ...]


async def compare(
    running: RunningAppliance, problems: Sequence[Problem], ways: Sequence[Way], *, concurrency: int
) -> dict[str, tuple[Answered, ...]]:
    """Way → answers in the order of the problems; the ways one after the other. Raises RuntimeError and DemoFailed."""
    gate = asyncio.Semaphore(concurrency)
    headers = {"Authorization": f"Bearer {running.api_key}"}
    async with (
        AsyncOpenAI(base_url=f"{running.url}/v1", api_key=running.api_key, max_retries=2, timeout=300) as client,
        aiohttp.ClientSession(headers=headers) as http,
    ):

        async def one(way: Way, problem: Problem) -> Answered:
            async with gate:
                return await _answered(client, http, running.url, way, problem)

        return {way.name: tuple(await asyncio.gather(*(one(way, p) for p in problems))) for way in ways}


def as_document(answers: dict[str, tuple[Answered, ...]]) -> dict[str, Any]:
    """Everything, for a results file."""
    return {
        "ways": {way: summary(answered, answers[BASELINE]) for way, answered in answers.items()},
        "answers": {way: [asdict(one) for one in answered] for way, answered in answers.items()},
    }


def summary(answered: Sequence[Answered], baseline: Sequence[Answered]) -> dict[str, Any]:
    """Right answers with a 95% interval, cost per answer, and the comparison with the baseline problem by problem."""
    count, right = len(answered), sum(one.right for one in answered)
    tokens, engine_s = sum(one.tokens for one in answered), sum(one.engine_s for one in answered)
    steps = sorted({one.steps for one in answered})
    return {
        "problems": count,
        "right": right,
        "share": right / count,
        "interval_95": list(wilson_interval(right, count)),
        "share_easy": _share([one.right for one in answered if one.steps == 0]),
        "share_of_steps": _share([one.right for one in answered if one.steps > 0]),
        "share_by_steps": {n: _share([one.right for one in answered if one.steps == n]) for n in steps},
        "calls_per_answer": sum(one.calls for one in answered) / count,
        "tokens_per_answer": tokens / count,
        "engine_seconds_per_answer": engine_s / count,
        "engine_seconds_per_right_answer": engine_s / max(1, right),
        "seconds_p50": percentile([one.seconds for one in answered], 50),
        "seconds_p95": percentile([one.seconds for one in answered], 95),
        "p_against_direct": mcnemar_p([one.right for one in answered], [one.right for one in baseline]),
        "fallbacks": dict(Counter(fallback for one in answered for fallback in one.fallbacks)),
    }


def table(document: dict[str, Any]) -> RenderableType:
    """One row a way, and why some ways did something else than they are called."""
    rows = Table(title="Right answers by strategy (easy: no working needed), and what an answer costs")
    rows.add_column("strategy", no_wrap=True)
    for name in _COLUMNS:
        rows.add_column(name, justify="right", no_wrap=True)
    notes = []
    for way, one in document["ways"].items():
        low, high = one["interval_95"]
        rows.add_row(
            way,
            f"{100 * one['share']:.1f}%",
            f"{100 * low:.0f}–{100 * high:.0f}",
            f"{one['p_against_direct']:.2g}",
            f"{100 * one['share_easy']:.0f}%",
            f"{100 * one['share_of_steps']:.0f}%",
            f"{one['calls_per_answer']:.1f}",
            f"{one['tokens_per_answer']:.0f}",
            f"{one['engine_seconds_per_answer']:.2f}",
            f"{one['engine_seconds_per_right_answer']:.2f}",
            f"{one['seconds_p50']:.2f}",
            f"{one['seconds_p95']:.2f}",
        )
        notes += [f"{way}: {times} × {fallback}" for fallback, times in one["fallbacks"].items()]
    return Group(rows, Text("\n".join(notes)))


async def _answered(client: AsyncOpenAI, http: aiohttp.ClientSession, url: str, way: Way, problem: Problem) -> Answered:
    try:
        reply = await ask(client, AUTO, problem.question, extra_body=way.wish)
    except OpenAIError as error:
        raise RuntimeError(f"{problem.id} was not answered by {way.name}: {error}") from error
    trace = await trace_of(http, url, reply.trace_id)
    return Answered(
        problem=problem.id,
        steps=problem.steps,
        right=reply.answer == problem.answer,
        calls=len(trace.calls),
        tokens=reply.tokens,
        engine_s=sum(call.engine_s for call in trace.calls),
        seconds=reply.seconds,
        fallbacks=tuple(_NUMBER.sub("…", fallback.action) for fallback in trace.fallbacks),
    )


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right)
