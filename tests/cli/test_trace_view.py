"""The tree of a trace."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from appliance.cli.trace_view import render
from appliance.domain.trace import Outcome, Trace
from tests.fakes.traces import repaired_trace


def shown(trace: Trace) -> str:
    console = Console(width=160, color_system=None, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(render(trace))
    console.file.close()
    return console.export_text()


@pytest.mark.parametrize(
    "words",
    [
        "auto → plan_execute_verify  ok  0.93 s",
        "because 4 cues, at least 3 wanted",
        "planner starter-planner  40+10 tokens  120 ms (+20 ms in line)  0.060 GPU s",
        "plan: s1(), s2(s1)",
        "s1 math  12*7 → 84  ok",
        "✓ 0.98 (≥ 0.50, last_token)",
        "s2 text  reverse [red]QEXAR[/red] → RAXEQ  needs s1  ok  2 attempts, took 2",
        "✗ 0.11",
        "executor starter-text #2",
        "generalist starter-generalist",
        "fallback synthesizer: no engine is ready → took the last result",
        "total 8 calls · 400 tokens (320 in, 80 out) · 0.93 s · 0.96 engine seconds · 0.480 GPU seconds",
        "planner 50, executor 150, verifier 150, generalist 50",
        "budget: 8/48 calls, 400/12000 tokens, 0.9/60 s",
    ],
)
def test_tree_shows(words: str) -> None:
    assert words in shown(repaired_trace())


def test_tree_without_content_and_without_calls() -> None:
    bare = replace(repaired_trace(), question=None, answer=None, tasks=(), calls=(), verdicts=(), fallbacks=())
    assert "QEXAR" not in shown(bare)
    assert "total 0 calls" in shown(bare)


def test_failed_request_says_why() -> None:
    failed = replace(repaired_trace(), outcome=Outcome.ERROR, error="engine gone")
    assert "auto → plan_execute_verify  error" in shown(failed)
    assert "engine gone" in shown(failed)


def test_a_limit_of_gpu_seconds_stands_with_the_others() -> None:
    trace = repaired_trace()
    assert "GPU s\n" not in shown(trace).split("budget: ")[1]
    limited = replace(trace, budget=replace(trace.budget, limit_gpu_s=2.5, used_gpu_s=0.48))
    assert "0.9/60 s, 0.48/2.5 GPU s" in shown(limited)
