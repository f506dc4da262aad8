"""The demonstration: questions of rising difficulty, each with its answer, the true one and the tree of calls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import aiohttp
from openai import AsyncOpenAI
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.table import Table

from appliance.cli.trace_view import render
from appliance.domain.trace import Trace, Verdict
from benchmarks.starter.appliance_process import DemoFailed, RunningAppliance
from benchmarks.starter.asking import Reply, ask, trace_of
from benchmarks.starter.evaluation import AUTO, GENERALIST
from benchmarks.starter.suite import Problem

DIRECT, ORCHESTRATED, REPAIRED = "direct", "orchestrated", "repaired"


@dataclass(frozen=True, slots=True)
class Shown:
    """One question as it was asked and answered, by the appliance and by the generalist alone."""

    problem: Problem
    auto: Reply
    alone: Reply
    trace: Trace

    @property
    def kind(self) -> str:
        """What the trace shows: direct, orchestrated, or repaired (a failed verdict, then a passed one)."""
        if self.trace.decision.strategy == "direct":
            return DIRECT
        return REPAIRED if repaired_tasks(self.trace) else ORCHESTRATED


def repaired_tasks(trace: Trace) -> tuple[str, ...]:
    """Tasks whose first result was refused by the verifier and a later one accepted by it."""
    failed = {v.task_id for v in trace.verdicts if v.verdict is Verdict.FAIL}
    passed = {v.task_id for v in trace.verdicts if v.verdict is Verdict.PASS}
    return tuple(sorted(failed & passed))


async def show(running: RunningAppliance, problems: Sequence[Problem], console: Console) -> list[Shown]:
    """Ask each problem through the stock client and print what happened."""
    shown = []
    async with (
        AsyncOpenAI(base_url=f"{running.url}/v1", api_key=running.api_key, max_retries=0, timeout=120) as client,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {running.api_key}"}) as http,
    ):
        for number, problem in enumerate(problems, 1):
            auto = await ask(client, AUTO, problem.question)
            alone = await ask(client, GENERALIST, problem.question, temperature=0)
            one = Shown(problem, auto, alone, await trace_of(http, running.url, auto.trace_id))
            _print(console, number, one)
            shown.append(one)
    return shown


def comparison_table(shown: Sequence[Shown]) -> Table:
    """Orchestrated against the generalist alone, on the questions just shown."""
    table = Table(title="The same questions: the appliance (auto) against its generalist alone")
    for name in ("", "right answers", "tokens", "seconds"):
        table.add_column(name, justify="left" if not name else "right")
    for name, replies in (
        ("auto", [(s.auto, s.problem) for s in shown]),
        ("generalist alone", [(s.alone, s.problem) for s in shown]),
    ):
        right = sum(reply.answer == problem.answer for reply, problem in replies)
        tokens = sum(reply.tokens for reply, _ in replies)
        seconds = sum(reply.seconds for reply, _ in replies)
        table.add_row(name, f"{right} of {len(replies)}", f"{tokens}", f"{seconds:.1f}")
    return table


def check(shown: Sequence[Shown]) -> None:
    """Raises DemoFailed unless the main job was really done: answered, orchestrated, verified and repaired."""
    kinds = [s.kind for s in shown]
    wrong = [s.problem.id for s in shown if s.auto.answer != s.problem.answer]
    problems = []
    if DIRECT not in kinds:
        problems.append("no question was answered directly")
    if kinds.count(ORCHESTRATED) + kinds.count(REPAIRED) < 3:
        problems.append("fewer than three questions were orchestrated")
    if REPAIRED not in kinds:
        problems.append("no result was refused by the verifier and then repaired")
    if any(s.trace.fallbacks for s in shown):
        problems.append("a role failed and the generalist stepped in")
    if len(wrong) > 1:
        problems.append(f"{len(wrong)} wrong answers ({', '.join(wrong)}); at most one is expected")
    if problems:
        raise DemoFailed("; ".join(problems))


def draw(shown: Sequence[Shown], path: Path) -> None:
    """The longest repaired question with its tree as an SVG that loads nothing from elsewhere."""
    chosen = max((s for s in shown if s.kind == REPAIRED), key=lambda s: len(s.trace.tasks))
    console = Console(record=True, width=110, file=StringIO())
    _print(console, 1, chosen)
    without_fonts = re.sub(r"@font-face\s*{{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title="make demo", code_format=without_fonts)


def _print(console: Console, number: int, one: Shown) -> None:
    mark = "[green]✓ right[/]" if one.auto.answer == one.problem.answer else "[red]✗ wrong[/]"
    console.rule(f"[bold]{number}. {one.kind}[/]", align="left")
    console.print(render(one.trace))
    console.print(f"true answer [bold]{one.problem.answer}[/]  {mark}\n")
